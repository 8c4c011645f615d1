//! What the server side of git takes and what it refuses, with packs made by the real git and packs made to hurt.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]

mod client;
mod receive;
mod support;
