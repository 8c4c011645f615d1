//! What the server side of git takes and what it refuses, with packs made by the real git and packs made to hurt.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]
#![allow(clippy::disallowed_methods, reason = "a test may block, and has nobody to take the time from")]

mod client;
mod export;
mod fetch;
mod histories;
mod history_maker;
mod hostile;
mod receive;
mod server;
mod support;
