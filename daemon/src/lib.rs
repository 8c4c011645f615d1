//! `deisd`, the reference daemon of the deis engine, and `deis`, its client.

pub mod client;
pub mod tls;
