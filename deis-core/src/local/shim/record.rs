//! The files by which a shim and the scheduler know of each other.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{
    local::proc,
    model::{
        AppRef, Attempt, Exit, InstanceName, ProcessType, ReleaseVersion, Task, TaskKind, TaskLife, TaskName,
        TaskOutput, TemplateId, Timestamp,
    },
};

/// Format of `state.json`.
const VERSION: u32 = 1;

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Who {
    /// Process number.
    pub(crate) pid: i32,
    /// When it started, in ticks since the machine did.
    pub(crate) start: u64,
}

impl Who {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, start: proc::stat(pid)?.start })
    }

    /// The process that has this number now, which must be there.
    pub(super) fn existing(pid: rustix::process::Pid) -> io::Result<Self> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "its process is not in /proc");
        Self::of(pid.as_raw_nonzero().get()).ok_or_else(gone)
    }

    /// Whether that very process still exists.
    pub(crate) fn exists(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// Everything about an instance that its adoption needs; no part of its environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) app: AppRef,
    pub(crate) instance: InstanceName,
    pub(crate) process: ProcessType,
    pub(crate) release: ReleaseVersion,
    pub(crate) template: TemplateId,
    pub(crate) routable: bool,
    pub(crate) port: u16,
    pub(crate) grace_seconds: u32,
}

impl Identity {
    /// Writes `identity.json`: whose the output in this folder is, even if its process never came to run.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        replace(folder, "identity.json", self)
    }

    pub(crate) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join("identity.json")).ok()?).ok()
    }
}

/// `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    version: u32,
    pub(crate) identity: Identity,
    pub(crate) shim: Who,
    /// The app's own process, which leads its group.
    pub(crate) main: Who,
    pub(crate) started: Timestamp,
    /// Whether it was told to stop.
    pub(crate) stopping: bool,
}

impl State {
    pub(crate) fn new(identity: Identity, shim: Who, main: Who) -> Self {
        Self { version: VERSION, identity, shim, main, started: now(), stopping: false }
    }

    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        replace(folder, "state.json", self)
    }

    /// `None` if there is none, or none of this version.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let state: Self = serde_json::from_slice(&fs::read(folder.join("state.json")).ok()?).ok()?;
        (state.version == VERSION).then_some(state)
    }
}

/// Writes `main.json`: the child of a task, which has no other state.
pub(super) fn write_main(folder: &Path, main: Who) -> io::Result<()> {
    replace(folder, "main.json", &main)
}

pub(crate) fn read_main(folder: &Path) -> Option<Who> {
    serde_json::from_slice(&fs::read(folder.join("main.json")).ok()?).ok()
}

/// `task.json`: what a later platform process must know of a task; no part of its environment, command or input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TaskIdentity {
    version: u32,
    pub(crate) app: AppRef,
    pub(crate) kind: TaskKind,
    pub(crate) name: TaskName,
    pub(crate) attempt: Attempt,
    pub(crate) life: TaskLife,
    pub(crate) output: TaskOutput,
    /// When it was accepted.
    pub(crate) since: Timestamp,
}

impl TaskIdentity {
    pub(crate) fn of(task: &Task) -> Self {
        Self {
            version: VERSION,
            app: task.app.clone(),
            kind: task.kind,
            name: task.name.clone(),
            attempt: task.attempt,
            life: task.life,
            output: task.output,
            since: now(),
        }
    }

    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        replace(folder, "task.json", self)
    }

    /// `None` if there is none, or none of this version.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let task: Self = serde_json::from_slice(&fs::read(folder.join("task.json")).ok()?).ok()?;
        (task.version == VERSION).then_some(task)
    }
}

/// `exit.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) at: Timestamp,
    /// Position behind all output of a task, lost or not.
    #[serde(default)]
    pub(crate) output: u64,
    /// Why the output of a task ends too early, if it does.
    #[serde(default)]
    pub(crate) broken: Option<String>,
}

/// Name of the end while it is written.
const ENDED_PART: &str = "exit.json.part";
/// Room for an end on a disk that is full by then.
const RESERVED: usize = 1024;

impl Ended {
    /// An end of this moment.
    pub(crate) fn new(exit: Exit) -> Self {
        Self { exit, at: now(), output: 0, broken: None }
    }

    /// Takes the room that the end will need.
    pub(super) fn reserve(folder: &Path) -> io::Result<()> {
        let mut file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(folder.join(ENDED_PART))?;
        file.write_all(&[b' '; RESERVED])
    }

    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let part = folder.join(ENDED_PART);
        let mut text = serde_json::to_vec(self)?;
        // Written over what was reserved: a file system that is full takes that still.
        text.resize(text.len().max(RESERVED), b' ');
        let mut file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&part)?;
        file.write_all(&text)?;
        fs::rename(&part, folder.join("exit.json"))
    }

    pub(crate) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join("exit.json")).ok()?).ok()
    }
}

/// Takes the lock that says "alive", and leaves its process number for whoever must end a shim that never
/// wrote a state. Somebody who looks whether it is taken holds it for a moment, so this is tried for a while.
pub(super) fn lock(folder: &Path) -> io::Result<File> {
    let mut file =
        File::options().create(true).truncate(false).write(true).mode(0o600).open(folder.join("lock"))?;
    for _ in 0..200 {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0)?;
                let who = Who::of(rustix::process::getpid().as_raw_nonzero().get());
                file.write_all(&serde_json::to_vec(&who)?)?;
                return Ok(file);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "another shim has this folder"))
}

/// The current time.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// How long ago a moment was; one that is still to come, by a clock that was set back, is now.
pub(crate) fn since(at: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(now().0.saturating_sub(at.0)).unwrap_or(0))
}

fn replace(folder: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let part = folder.join(format!("{name}.part"));
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&part)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    fs::rename(&part, folder.join(name))
}
