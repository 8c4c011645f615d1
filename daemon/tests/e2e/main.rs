//! The whole platform as a person meets it: a real daemon, the real client, the real git, real processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]
#![allow(clippy::disallowed_methods, reason = "a test may block, and has nobody to take the time from")]

mod apart;
mod bad_input;
mod builds;
mod client;
mod contract;
mod disk;
mod environment;
mod fetches;
mod full_disk;
mod git_bounds;
mod kills;
mod load;
mod objects;
mod push;
mod quickstart;
mod readiness;
mod secrets;
mod ssh;
mod ssh_defaults;
mod stops;
mod test_platform;
mod wanted_scales;
mod web;
