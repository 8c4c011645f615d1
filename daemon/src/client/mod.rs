//! `deis`, the command line client.

mod args;
mod commands;
mod context;
mod error;
mod git;
mod http;
mod normalize;
mod output;
mod profile;
mod prompt;
mod shell;

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::ExitCode};

use clap::Parser as _;

use args::Cli;
use context::Context;
use error::Result;

/// Runs the client with these arguments, the program's own name first, and returns its exit code.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let args = normalize::normalize(args);
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            if error.kind() == clap::error::ErrorKind::InvalidSubcommand {
                run_plugin(&args);
            }
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    crate::tls::install_provider();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("Error: cannot start: {error}");
            return ExitCode::from(1);
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            error.exit_code()
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    let context = Context { selected: cli.profile };
    commands::run(&context, cli.command).await
}

/// `deis NAME` runs `deis-NAME` from the path, if there is one.
fn run_plugin(args: &[OsString]) {
    let Some(name) = args.get(1).and_then(|a| a.to_str()).filter(|n| is_plain(n)) else { return };
    let failure = std::process::Command::new(format!("deis-{name}")).args(&args[2..]).exec();
    if failure.kind() != std::io::ErrorKind::NotFound {
        eprintln!("Error: deis-{name} cannot be run: {failure}");
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
