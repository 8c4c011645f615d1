//! The proxy on real sockets, between clients and apps that misbehave.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]

mod app;
mod early_answers;
mod forwarded;
mod framing;
mod limits;
mod odd_requests;
mod retries;
mod streams;
mod test_proxy;
