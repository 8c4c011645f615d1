//! One script for each bound of `docs/limits.md`: somebody takes as much as a daemon gives, while others use it as ever.
//!
//! `cargo test --test bounds -- --nocapture --test-threads=1` prints what the daemon holds and how long the others wait,
//! before, during and after. (Without the last flag several daemons take each other's time, which no script judges.)

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]
#![allow(clippy::disallowed_methods, reason = "a test may block, and has nobody to take the time from")]

mod accounts;
mod attacker;
mod bodies;
mod builds;
mod connections;
mod git;
mod odd_requests;
mod others;
mod records;
mod scenario;
mod ssh;
mod streams;
#[path = "../e2e/test_platform.rs"]
#[allow(dead_code, reason = "the end-to-end tests, whose support this is, need all of it")]
mod test_platform;
mod usage;
#[path = "../e2e/web.rs"]
mod web;
