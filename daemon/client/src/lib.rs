//! `deis`, the command line client of a deis platform.
//!
//! [`main`] is the whole program; [`attach`] is what it says on the websocket of a command, which the daemon reads with
//! the same types. Nothing here depends on the engine, so the client compiles where that does not: on any Unix.
//!
//! ```
//! use deis_client::attach::{ClientMessage, Signal};
//!
//! let text = serde_json::to_string(&ClientMessage::Signal(Signal::Int))?;
//! assert_eq!(text, r#"{"signal":"INT"}"#);
//! # Ok::<(), serde_json::Error>(())
//! ```

#![allow(clippy::disallowed_methods, reason = "the client does one thing at a time")]

mod app_name;
mod args;
pub mod attach;
mod commands;
mod compat;
mod context;
mod error;
mod git;
mod http;
mod normalize;
mod output;
mod pipe;
mod plugin;
mod printer;
mod profile;
mod prompt;
mod shell;

use std::{ffi::OsString, process::ExitCode};

use clap::{ColorChoice, FromArgMatches as _, error::ErrorKind};

use args::Cli;
use context::Context;
use error::{ClientError, Result};
use normalize::{Line, normalize};

/// Runs the client with these arguments, the program's own name first, and returns its exit code.
pub fn main(args: Vec<OsString>) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            if let ClientError::Signalled(signal) = error {
                // Whoever started this sees what ended it.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
            error.exit_code()
        }
    }
}

fn run(args: Vec<OsString>) -> Result<()> {
    let mut command = args::command();
    // Errors of the command line are coloured too, and they come before it is understood.
    if args.iter().any(|arg| arg == "--no-color") {
        command = command.color(ColorChoice::Never);
    }
    let args = match normalize(args, &command) {
        Line::Command(args) => args,
        Line::Topic(topic) => {
            output::line(&args::topic_help(&topic));
            return Ok(());
        }
    };
    let matches = match command.try_get_matches_from_mut(&args) {
        Err(error) if error.kind() == ErrorKind::InvalidSubcommand => {
            plugin::run(&args, command)?;
            return Err(error.into());
        }
        matches => matches?,
    };
    let cli = Cli::from_arg_matches(&matches)?;
    // An error says that a provider is there already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ClientError::Start)?;
    runtime.block_on(commands::run(&Context::new(cli.profile), cli.command))
}
