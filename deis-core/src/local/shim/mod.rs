//! The supervising process of one instance or task.
//!
//! It reads what to run as one line of JSON from standard input, so that no secret is on disk or in arguments;
//! makes itself leader of a session and reaper of orphans; runs its child **once**, in a process group of its
//! own; and when that ends, kills every process that descends from it, whatever group or session it moved to.
//! SIGTERM means: stop the child, with its grace period.
//!
//! It has neither threads of an async runtime nor any connection that it depends on, so it survives the platform
//! process, and an instance costs about 3 MB on top of the app. A task has a socket in its folder besides, by which its
//! readers are woken and its writer writes.

mod channels;
mod clients;
mod inherited;
mod input;
mod instance;
mod process_tree;
mod spec;
mod start;
mod supervise;
mod task;
mod terminal;
mod watch;

use std::{
    io::{self, BufRead as _},
    process::ExitCode,
};

pub(crate) use spec::{Job, Spec, Start, TaskSpec};

use crate::local::run_dir::lock;

/// The name under which an executable knows that it shall be a shim.
pub(crate) const NAME: &str = "deis-shim";

/// What a shell answers when it cannot start a command.
const CANNOT_START: i32 = 127;

/// Becomes a shim, and never returns, if this process was started as one. Call it first in `main`, before any
/// thread or runtime is started.
pub fn run_if_asked() {
    if let Some(code) = terminal::become_program_if_asked() {
        std::process::exit(code);
    }
    let name = std::env::args_os().next().unwrap_or_default();
    if name.to_str() == Some(NAME) {
        let code = run();
        std::process::exit(i32::from(code != ExitCode::SUCCESS));
    }
}

/// The whole life of a shim: returns when its child and everything that descends from it has ended.
#[must_use]
pub fn run() -> ExitCode {
    if let Some(code) = terminal::become_program_if_asked() {
        std::process::exit(code);
    }
    match read_and_supervise() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deis-shim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read_and_supervise() -> io::Result<()> {
    // In a session of its own the shim gets neither the Ctrl-C nor the hang-up of the terminal that the platform was
    // started from. It fails only for a leader of a process group, which is as far from a terminal as a session leader.
    let _ = rustix::process::setsid();
    // Before the child exists: a process that its parent left behind becomes a child of the nearest subreaper, and so
    // cannot get out of the tree that is killed at the end by forking twice.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut line = String::new();
    read_line(&mut line)?;
    let spec: Spec = serde_json::from_str(&line)?;
    // It holds the environment, secrets included.
    drop(line);
    // Before the child exists, and until this process is gone: whoever finds the lock free knows that nobody watches.
    let _lock = lock::hold(&spec.folder)?;
    supervise::supervise(spec)
}

fn read_line(line: &mut String) -> io::Result<()> {
    io::stdin().lock().read_line(line)?;
    if line.ends_with('\n') { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
