//! The local back ends with real processes.

#![allow(clippy::unwrap_used, clippy::future_not_send, reason = "a test that cannot go on shall end")]
#![allow(clippy::disallowed_methods, reason = "a test may block, and has nobody to take the time from")]

mod adoption;
mod conformance;
mod full_disk;
mod logs;
mod misbehaviour;
mod orphans;
mod rolling;
mod run_dir;
mod support;
mod surroundings;
mod tasks;
