//! The records in the run folder: by these a supervising process and the platform know of each other.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::format::{EXIT, IDENTITY, MAIN, READY, STATE, TASK, app_of, subfolders};
use crate::{
    local::time::now,
    model::{
        AppRef, Attempt, Exit, InstanceName, ProcessType, ReleaseVersion, Task, TaskKind, TaskLife, TaskName,
        TaskOutput, TemplateId, Timestamp,
    },
    os::{Durability, proc, replace_file},
};

/// Version of `state.json` and `task.json`.
const VERSION: u32 = 1;

/// What a record says to this version of the program.
#[derive(Debug)]
pub(crate) enum Found<T> {
    /// There is no record, or it was damaged.
    None,
    /// Another version of the program wrote it.
    OtherVersion,
    /// It can be read.
    Known(T),
}

impl<T> Found<T> {
    pub(crate) fn known(self) -> Option<T> {
        if let Self::Known(record) = self { Some(record) } else { None }
    }
}

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    /// Process number.
    pub(crate) pid: i32,
    /// When it started, in ticks since the machine did.
    pub(crate) start: u64,
}

impl ProcessIdentity {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, start: proc::stat(pid)?.start })
    }

    /// The process that has this number now, which must be there.
    pub(crate) fn existing(pid: rustix::process::Pid) -> io::Result<Self> {
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
pub(crate) struct InstanceIdentity {
    pub(crate) app: AppRef,
    pub(crate) instance: InstanceName,
    pub(crate) process: ProcessType,
    pub(crate) release: ReleaseVersion,
    pub(crate) template: TemplateId,
    pub(crate) routable: bool,
    pub(crate) port: u16,
    pub(crate) grace_seconds: u32,
}

impl InstanceIdentity {
    /// Writes `identity.json`: whose the output in this folder is, even if its process never came to run.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        replace(folder, IDENTITY, self)
    }

    pub(crate) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(IDENTITY)).ok()?).ok()
    }
}

/// `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InstanceRecord {
    version: u32,
    pub(crate) identity: InstanceIdentity,
    pub(crate) shim: ProcessIdentity,
    /// The app's own process, which leads its group.
    pub(crate) main: ProcessIdentity,
    pub(crate) started: Timestamp,
    /// Whether it was told to stop.
    pub(crate) stopping: bool,
}

impl InstanceRecord {
    pub(crate) fn new(identity: InstanceIdentity, shim: ProcessIdentity, main: ProcessIdentity) -> Self {
        Self { version: VERSION, identity, shim, main, started: now(), stopping: false }
    }

    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        replace(folder, STATE, self)
    }

    pub(crate) fn read(folder: &Path) -> Found<Self> {
        read_versioned(folder, STATE)
    }
}

/// Writes `main.json`: the child of a task, which has no other state.
pub(crate) fn write_main(folder: &Path, main: ProcessIdentity) -> io::Result<()> {
    replace(folder, MAIN, &main)
}

pub(crate) fn read_main(folder: &Path) -> Option<ProcessIdentity> {
    serde_json::from_slice(&fs::read(folder.join(MAIN)).ok()?).ok()
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
        replace(folder, TASK, self)
    }

    pub(crate) fn read(folder: &Path) -> Found<Self> {
        read_versioned(folder, TASK)
    }
}

/// `exit.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EndRecord {
    pub(crate) exit: Exit,
    pub(crate) at: Timestamp,
    /// Position behind all output of a task, lost or not.
    #[serde(default)]
    pub(crate) output: u64,
    /// Why the output of a task ends too early, if it does.
    #[serde(default)]
    pub(crate) broken: Option<String>,
}

/// Name of the end until it is written.
const RESERVED_FILE: &str = "exit.json.part";
/// Room for an end on a disk that is full by then.
const RESERVED: usize = 1024;

impl EndRecord {
    /// An end of this moment.
    pub(crate) fn new(exit: Exit) -> Self {
        Self { exit, at: now(), output: 0, broken: None }
    }

    /// Takes the room that the end will need.
    pub(crate) fn reserve(folder: &Path) -> io::Result<()> {
        let mut file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(folder.join(RESERVED_FILE))?;
        file.write_all(&[b' '; RESERVED])
    }

    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let part = folder.join(RESERVED_FILE);
        let mut text = serde_json::to_vec(self)?;
        // Written over what was reserved: a file system that is full takes that still.
        text.resize(text.len().max(RESERVED), b' ');
        let mut file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&part)?;
        file.write_all(&text)?;
        fs::rename(&part, folder.join(EXIT))
    }

    pub(crate) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(EXIT)).ok()?).ok()
    }
}

/// Whether the present run of an instance was ready when a platform process last looked.
pub(crate) fn was_ready(folder: &Path) -> bool {
    folder.join(READY).exists()
}

/// Notes, for the next platform process, whether the present run of an instance is ready.
pub(crate) fn note_ready(folder: &Path, ready: bool) -> io::Result<()> {
    let mark = folder.join(READY);
    if ready {
        return File::options().create(true).truncate(false).write(true).mode(0o600).open(mark).map(drop);
    }
    match fs::remove_file(mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The processes of all instances that run, as they were recorded.
pub(crate) fn recorded_processes(run_dir: &Path) -> io::Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for app in subfolders(run_dir)?.into_iter().filter(|folder| app_of(folder).is_some()) {
        for instance in subfolders(&app)? {
            if EndRecord::read(&instance).is_none()
                && let Some(record) = InstanceRecord::read(&instance).known()
            {
                found.extend(u32::try_from(record.main.pid));
            }
        }
    }
    Ok(found)
}

/// Names of processes mean nothing after a start of the machine, so a record need not survive a power cut.
fn replace(folder: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    replace_file(&folder.join(name), &serde_json::to_vec(value)?, Durability::Process)
}

fn read_versioned<T: DeserializeOwned>(folder: &Path, name: &str) -> Found<T> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Ok(text) = fs::read(folder.join(name)) else { return Found::None };
    match serde_json::from_slice::<Versioned>(&text) {
        Ok(Versioned { version: VERSION }) => serde_json::from_slice(&text).map_or(Found::None, Found::Known),
        Ok(_) => Found::OtherVersion,
        Err(_) => Found::None,
    }
}
