//! Builds as they really are: source pushed with git, buildpacks run as tasks, slugs unpacked and looked into.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]

mod contract;
mod embedded;
mod failures;
mod fetched;
mod workshop;
