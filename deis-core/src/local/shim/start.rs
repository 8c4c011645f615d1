//! Starts the child of a shim.

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{Output, Spec, Start};

/// Sources what buildpacks left in `.profile.d`, in the order of names, then becomes a shell that reads the
/// command: a shell that is given one simple command replaces itself by it, so that signals reach the app.
const WITH_PROFILE: &str =
    r#"for f in .profile.d/*; do [ -f "$f" ] && . "./$f"; done; unset f; exec "$0" -c "$1""#;

/// Starts what `spec` says, in a process group of its own, with nothing but the given environment.
pub(super) fn start(spec: &Spec) -> io::Result<Child> {
    let mut command = match &spec.start {
        Start::Shell { command } => shell(command, &spec.directory),
        Start::Program { program, argv0, args } => {
            let mut start = Command::new(program);
            start.args(args);
            if let Some(name) = argv0 {
                start.arg0(name);
            }
            start
        }
    };
    command.env_clear().envs(spec.env.iter()).current_dir(&spec.directory).process_group(0);
    match &spec.output {
        Output::Files { .. } => {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        Output::Stream { stdin } => {
            command.stdin(if *stdin == 0 { Stdio::null() } else { Stdio::piped() });
        }
    }
    command.spawn()
}

fn shell(line: &str, directory: &Path) -> Command {
    let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    let mut command = Command::new(shell);
    if directory.join(".profile.d").is_dir() {
        command.args(["-c", WITH_PROFILE, shell, line]);
    } else {
        command.args(["-c", line]);
    }
    command
}
