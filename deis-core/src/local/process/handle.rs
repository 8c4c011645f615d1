//! A shim as its starter or adopter sees it.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::{Child, ChildStdin, Command, Stdio},
};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;

use crate::{
    local::{
        async_fd::async_fd,
        options::ShimProgram,
        run_dir::record::{InstanceRecord, ProcessIdentity},
        shim::{self, Spec},
    },
    model::TaskLife,
};

/// A living shim, or one whose end has not been looked at.
#[derive(Debug)]
pub(in crate::local) struct ShimProcess {
    pidfd: AsyncFd<OwnedFd>,
    /// `None` for an adopted one: somebody else reaps it.
    child: Option<Child>,
}

impl ShimProcess {
    /// Watches a shim that this process started.
    pub(in crate::local) fn started(child: Child) -> io::Result<Self> {
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(io::Error::from).and_then(async_fd);
        match pidfd {
            Ok(pidfd) => Ok(Self { pidfd, child: Some(child) }),
            Err(error) => {
                // What cannot be watched must not run; its shim ends it in its own time.
                tokio::task::spawn_blocking(move || end(child));
                Err(error)
            }
        }
    }

    /// Watches a shim that an earlier process started; `None` if it is gone.
    pub(in crate::local) fn adopted(shim: ProcessIdentity) -> io::Result<Option<Self>> {
        let Some(pid) = Pid::from_raw(shim.pid) else { return Ok(None) };
        // The descriptor first, then the look: once it is open, it stands for one process for good. The other way round, the
        // process could end after the look, and the descriptor would be of whoever got its number.
        match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(pidfd) if shim.exists() => Ok(Some(Self { pidfd: async_fd(pidfd)?, child: None })),
            Ok(_) | Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it has ended. May be dropped and called again.
    pub(in crate::local) async fn ended(&self) {
        // An error means that there is nothing to wait for.
        let _ = self.pidfd.readable().await;
    }

    /// Sends a signal; one that is gone gets none.
    pub(in crate::local) fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(self.pidfd.get_ref(), signal);
    }
}

impl Drop for ShimProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Reaps one that has ended; a living one is left alone.
            let _ = child.try_wait();
        }
    }
}

/// The shim of a task that runs.
pub(in crate::local) struct StartedTask {
    pub(in crate::local) child: Child,
    /// Whoever holds it keeps a bound task alive; a detached one has none.
    pub(in crate::local) lifeline: Option<ChildStdin>,
}

/// Starts the shim of an instance and waits until its child runs; blocks for some milliseconds.
/// `None` if the child could not be started. Nothing of it runs then, nor after an error.
pub(in crate::local) fn start_instance(
    program: &ShimProgram,
    spec: &Spec,
) -> io::Result<Option<(Child, InstanceRecord)>> {
    let mut child = command(program).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    match state_of(&mut child, spec) {
        Ok(Some(state)) => Ok(Some((child, state))),
        other => {
            end(child);
            other.map(|_| None)
        }
    }
}

fn state_of(child: &mut Child, spec: &Spec) -> io::Result<Option<InstanceRecord>> {
    drop(give(child, spec)?);
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    if line.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_str(&line)?)) }
}

/// Starts the shim of a task, hands it the input of a tool, and waits until its child runs; blocks for some
/// milliseconds. `None` if the child could not be started, which the task's output and end say.
pub(in crate::local) fn start_task(
    program: &ShimProgram,
    spec: &Spec,
    input: &[u8],
    life: TaskLife,
) -> io::Result<Option<StartedTask>> {
    let mut child = command(program).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    match wait_for_task(&mut child, spec, input) {
        Ok((lifeline, true)) => {
            Ok(Some(StartedTask { child, lifeline: lifeline.filter(|_| life == TaskLife::Bound) }))
        }
        other => {
            end(child);
            other.map(|_| None)
        }
    }
}

fn wait_for_task(child: &mut Child, spec: &Spec, input: &[u8]) -> io::Result<(Option<ChildStdin>, bool)> {
    let mut lifeline = give(child, spec)?;
    if let Some(pipe) = &mut lifeline {
        pipe.write_all(input)?;
    }
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    Ok((lifeline, !line.is_empty()))
}

/// Stops a shim, and with it its child, and reaps it. Blocks.
fn end(mut child: Child) {
    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
    drop(child.stdin.take());
    let _ = child.wait();
}

fn command(program: &ShimProgram) -> Command {
    let mut command = match program {
        // Not by its path: another version may have taken its place on disk, and speak another language.
        ShimProgram::ThisExecutable => Command::new("/proc/self/exe"),
        ShimProgram::Path(path) => Command::new(path),
    };
    // In `/`, so that no file system stays busy because of an instance whose own folder is elsewhere.
    command.arg0(shim::NAME).env_clear().current_dir("/").stdin(Stdio::piped());
    command
}

fn give(child: &mut Child, spec: &Spec) -> io::Result<Option<ChildStdin>> {
    let mut pipe = child.stdin.take();
    if let Some(pipe) = &mut pipe {
        let mut line = serde_json::to_vec(spec)?;
        line.push(b'\n');
        pipe.write_all(&line)?;
    }
    Ok(pipe)
}
