//! The local back ends with real processes.

#![allow(clippy::unwrap_used, clippy::future_not_send, reason = "a test that cannot go on shall end")]

mod adoption;
mod conformance;
mod logs;
mod misbehaviour;
mod support;
mod surroundings;
mod tasks;
