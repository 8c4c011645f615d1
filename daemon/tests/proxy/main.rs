//! The proxy on real sockets, between clients and apps that misbehave.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]

mod app;
mod framing;
mod front;
mod patience;
mod retries;
mod streams;
