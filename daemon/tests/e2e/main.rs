//! The whole platform as a person meets it: a real daemon, the real client, the real git, real processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]

mod bad_input;
mod client;
mod contract;
mod kills;
mod load;
mod push;
mod rig;
mod web;
