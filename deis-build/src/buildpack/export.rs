//! What a buildpack leaves in its `export` file, for whatever runs after it.

use std::{
    io::{self, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use super::{
    job::{BuildResult, NAME},
    script::{self, Env, print_line},
};

/// The argument that makes this program print its environment.
pub(super) const PRINT: &str = "--print-environment";
/// Longest run of an `export` file: it sets variables.
const LIMIT: Duration = Duration::from_secs(30);
/// Sources the file, and becomes this program. What the file prints is no part of the environment.
const SCRIPT: &str = ". \"$1\" >&2; exec -a \"$2\" \"$3\" \"$4\"";
/// What a shell sets for itself.
const OF_THE_SHELL: [&str; 4] = ["_", "SHLVL", "PWD", "OLDPWD"];

/// Lets a shell read the file, as those who write it expect, and takes over the environment that it leaves.
pub(super) fn source(buildpack: &Path, root: &Path, env: &mut Env) -> io::Result<Result<(), BuildResult>> {
    let file = buildpack.join("export");
    if !file.is_file() {
        return Ok(Ok(()));
    }
    let own = std::env::current_exe()?;
    let args = ["--norc", "--noprofile", "-c", SCRIPT, "export"].map(Path::new);
    let rest = [file.as_path(), Path::new(NAME), own.as_path(), Path::new(PRINT)];
    let args = [&args[..], &rest[..]].concat();
    let ended = script::capture(Path::new("bash"), &args, root, env, Some(LIMIT))?;
    ended.err.lines().for_each(|line| print_line(&format!("       {line}")));
    if !ended.status.is_some_and(|status| status.success()) {
        let exit = ended.status.and_then(|status| status.code());
        return Ok(Err(BuildResult::Failed { step: "export".to_owned(), exit }));
    }
    let pairs = ended.out.split('\0').filter_map(|pair| pair.split_once('='));
    let pairs = pairs.filter(|(name, _)| !OF_THE_SHELL.contains(name));
    *env = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(Ok(()))
}

/// Prints the environment of this process, each variable with a NUL at its end.
pub(super) fn print() -> ExitCode {
    let mut text = Vec::new();
    for (name, value) in std::env::vars_os() {
        text.extend([name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
    }
    let mut out = io::stdout().lock();
    ExitCode::from(u8::from(out.write_all(&text).and_then(|()| out.flush()).is_err()))
}
