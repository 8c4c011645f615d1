//! Plug-ins: `deis NAME` runs `deis-NAME` from the path, if there is one.

use std::{ffi::OsString, io::ErrorKind, os::unix::process::CommandExt as _, process::Command};

use super::error::{ClientError, Result};

/// Becomes the plug-in that `args` name, with the chosen profile in its environment; returns if there is none.
pub(super) fn run(args: &[OsString], cli: clap::Command) -> Result<()> {
    let matches = cli.allow_external_subcommands(true).try_get_matches_from(args)?;
    let Some((name, words)) = matches.subcommand().filter(|(name, _)| is_plain(name)) else { return Ok(()) };
    let mut plugin = Command::new(format!("deis-{name}"));
    plugin.args(words.get_many::<OsString>("").into_iter().flatten());
    if let Some(profile) = matches.get_one::<String>("profile") {
        plugin.env("DEIS_PROFILE", profile);
    }
    let source = plugin.exec();
    if source.kind() == ErrorKind::NotFound {
        return Ok(());
    }
    Err(ClientError::File { what: format!("deis-{name} cannot be run"), source })
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
