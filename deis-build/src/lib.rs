//! Git and buildpacks.
