//! Programs that the quick start needs from this machine.

use std::{fs, os::unix::fs::PermissionsExt as _};

/// A program that is not installed.
#[derive(Debug, thiserror::Error)]
#[error(
    "the quick start needs {program}, and there is none on the PATH; install it, then run the same command again"
)]
pub(super) struct MissingTool {
    program: String,
}

/// Looks for all of these before anything is started.
///
/// # Errors
/// [`MissingTool`] names the first that is missing.
pub(super) fn require(programs: &[&str]) -> Result<(), MissingTool> {
    match programs.iter().find(|program| !is_installed(program)) {
        Some(program) => Err(MissingTool { program: (*program).to_owned() }),
        None => Ok(()),
    }
}

/// Whether a program of this name can be started.
pub(super) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| {
        let found = fs::metadata(folder.join(program));
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}
