//! `deisd`, the reference daemon of the deis engine.
//!
//! The engine is in `deis_core`, building in `deis_build`, the client in `deis_client`; here they meet HTTP and SSH.

mod acceptor;
#[allow(clippy::disallowed_methods, reason = "secrets are read before the listeners are up")]
pub mod accounts;
pub mod api;
pub mod args;
#[allow(clippy::disallowed_methods, reason = "the one place that asks for the time")]
pub mod clock;
pub mod compose;
#[allow(clippy::disallowed_methods, reason = "the data folder is opened before the listeners are up")]
pub mod datadir;
mod down;
mod dto;
pub mod git;
mod inherited;
mod keyed_limit;
mod metrics;
mod network;
mod pending;
pub mod proxy;
pub mod push;
#[allow(clippy::disallowed_methods, reason = "one person watches one thing after the other")]
mod quickstart;
mod rate_limit;
mod serve;
#[allow(clippy::disallowed_methods, reason = "settings are read before anything else runs")]
pub mod settings;
mod signals;
pub mod static_server;
pub mod telemetry;
pub mod tls;

use std::{ffi::OsString, path::Path, process::ExitCode};

/// Everything that this executable can be, by the name it is called: a shim, a build, the file server, the client, the
/// daemon.
pub fn main(args: Vec<OsString>) -> ExitCode {
    compose::become_helper_if_asked();
    if let Some(code) = deis_build::driver::run_if_asked(&args) {
        return code;
    }
    let called = args.first().map(Path::new).and_then(Path::file_name).unwrap_or_default().to_os_string();
    if called == "deis" {
        return deis_client::main(args);
    }
    if called == static_server::NAME {
        return static_server::main(&args);
    }
    serve::main(&args)
}
