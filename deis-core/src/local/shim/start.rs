//! Starts the child of a shim.

use std::{
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::Path,
    process::{self, Child, Command},
};

use super::{Spec, Start, terminal};

/// Sources what buildpacks left in `.profile.d`, in the order of names, then becomes a shell that reads the
/// command: a shell that is given one simple command replaces itself by it, so that signals reach the app.
const WITH_PROFILE: &str =
    r#"for f in .profile.d/*; do [ -f "$f" ] && . "./$f"; done; unset f; exec "$0" -c "$1""#;

/// What a child's first three descriptors are.
pub(super) enum Stdio {
    /// Nothing to read, and pipes of its own to write to.
    Piped,
    /// What was made for it; nothing to read if there is no `stdin`.
    Pipes {
        /// Standard input.
        stdin: Option<OwnedFd>,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A terminal, which becomes the controlling one of its session.
    Terminal(OwnedFd),
}

/// Starts what `spec` says, in a process group of its own, with nothing but the given environment.
pub(super) fn start(spec: &Spec, stdio: Stdio) -> io::Result<Child> {
    let mut command = command(spec, matches!(stdio, Stdio::Terminal(_)));
    // Nothing of the platform's environment reaches an app: secrets of its operator may be in it.
    command.env_clear().envs(spec.env.iter()).current_dir(&spec.directory);
    match stdio {
        Stdio::Piped => {
            command.stdin(process::Stdio::null()).stdout(process::Stdio::piped());
            command.stderr(process::Stdio::piped()).process_group(0);
        }
        Stdio::Pipes { stdin, stdout, stderr } => {
            command.stdin(stdin.map_or_else(process::Stdio::null, process::Stdio::from));
            command.stdout(stdout).stderr(stderr).process_group(0);
        }
        // It leads a session, and with it a group, by itself: who leads a group already could not.
        Stdio::Terminal(terminal) => {
            command.stdin(terminal.try_clone()?).stdout(terminal.try_clone()?).stderr(terminal);
        }
    }
    command.spawn()
}

fn command(spec: &Spec, in_terminal: bool) -> Command {
    let (program, argv0, args) = match &spec.start {
        Start::Shell { command } => {
            let (shell, args) = shell(command, &spec.directory);
            (OsString::from(shell), None, args.into_iter().map(OsString::from).collect::<Vec<_>>())
        }
        Start::Program { program, argv0, args } => {
            (program.clone().into(), argv0.clone(), args.iter().map(OsString::from).collect())
        }
    };
    if in_terminal {
        return terminal::command(program, argv0, args);
    }
    let mut command = Command::new(program);
    if let Some(name) = argv0 {
        command.arg0(name);
    }
    command.args(args);
    command
}

fn shell<'a>(line: &'a str, directory: &Path) -> (&'static str, Vec<&'a str>) {
    // Procfiles are written for bash, and small machines have none.
    let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    if directory.join(".profile.d").is_dir() {
        (shell, vec!["-c", WITH_PROFILE, shell, line])
    } else {
        (shell, vec!["-c", line])
    }
}
