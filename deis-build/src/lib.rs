//! Git pushes received, source built into slugs: the build half of the deis engine.

pub mod git;
