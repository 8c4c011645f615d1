//! `deisd`, the reference daemon of the deis engine, and `deis`, its client.

pub mod accounts;
pub mod api;
pub mod client;
pub mod clock;
mod dto;
pub mod proxy;
pub mod tls;
