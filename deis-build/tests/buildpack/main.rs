//! Builds as they really are: source pushed with git, buildpacks run as tasks, slugs unpacked and looked into.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]
#![allow(clippy::disallowed_methods, reason = "a test may block, and has nobody to take the time from")]

mod contract;
mod depot;
mod embedded;
mod failures;
mod fetched;
mod workshop;
