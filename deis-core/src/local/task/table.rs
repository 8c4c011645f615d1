//! What the runner of this machine knows of an app's tasks: fences, what runs, and what is kept of what ended.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use super::run::Stage;
use crate::{
    local::{run_dir::record::TaskIdentity, time::since},
    model::{Attempt, Task, TaskInfo, TaskKind, TaskName, TaskObservation, TaskRef, TaskState},
    port::{StopScope, TaskError},
};

/// Ended tasks that are kept per app and kind.
const KEPT: usize = 32;
/// How long they are kept at most.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// Output of an app's ended tasks that is kept, in bytes.
const KEPT_BYTES: u64 = 64 << 20;
/// Names of tasks that were stopped, and may not be started any more, are remembered up to so many.
const STALE_NAMES: usize = 1024;

/// The tasks of one app.
#[derive(Default)]
pub(super) struct AppTasks {
    fences: BTreeMap<TaskKind, Attempt>,
    /// In the order of their start.
    tasks: Vec<Entry>,
    stale_names: VecDeque<TaskName>,
}

/// One task.
pub(super) struct Entry {
    identity: TaskIdentity,
    pub(super) folder: PathBuf,
    pub(super) stage: Arc<watch::Sender<Stage>>,
    stop: watch::Sender<bool>,
}

impl Entry {
    pub(super) fn new(identity: TaskIdentity, folder: PathBuf, stage: Stage) -> Self {
        let (stage, stop) = (Arc::new(watch::Sender::new(stage)), watch::Sender::new(false));
        Self { identity, folder, stage, stop }
    }

    fn is_active(&self) -> bool {
        !matches!(&*self.stage.borrow(), Stage::Ended { .. })
    }

    fn state(&self) -> TaskState {
        match &*self.stage.borrow() {
            Stage::Starting => TaskState::Starting,
            Stage::Running => TaskState::Running,
            Stage::Ended { ended, .. } => TaskState::Ended { exit: ended.exit, last_lines: Vec::new() },
        }
    }
}

impl AppTasks {
    /// Whether this task is new; an error if it may not start any more. Raises the fence.
    pub(super) fn admit(&mut self, task: &Task) -> Result<bool, TaskError> {
        if self.stale_names.contains(&task.name) {
            return Err(TaskError::Stale { given: task.attempt, current: Attempt::MAX });
        }
        let fence = self.fences.entry(task.kind).or_default();
        if task.attempt < *fence {
            return Err(TaskError::Stale { given: task.attempt, current: *fence });
        }
        *fence = task.attempt;
        // A caller that lost the answer starts the same attempt again: that must not run it twice.
        Ok(self.find(task.kind, &task.name).is_none_or(|known| known.identity.attempt != task.attempt))
    }

    pub(super) fn raise_fence(&mut self, kind: TaskKind, attempt: Attempt) {
        let fence = self.fences.entry(kind).or_default();
        *fence = attempt.max(*fence);
    }

    pub(super) fn add(&mut self, entry: Entry) -> (Arc<watch::Sender<Stage>>, watch::Receiver<bool>) {
        let handles = (Arc::clone(&entry.stage), entry.stop.subscribe());
        self.tasks.push(entry);
        handles
    }

    /// The newest task of this name.
    pub(super) fn find(&self, kind: TaskKind, name: &TaskName) -> Option<&Entry> {
        let named = self.tasks.iter().filter(|t| t.identity.kind == kind && t.identity.name == *name);
        named.max_by_key(|t| t.identity.attempt)
    }

    pub(super) fn observe(&self, kind: TaskKind, entry: Option<&Entry>) -> TaskObservation {
        let fence = self.fences.get(&kind).copied().unwrap_or_default();
        let older = |t: &Entry| t.identity.kind == kind && t.identity.attempt < fence && t.is_active();
        TaskObservation {
            fence,
            older_running: self.tasks.iter().any(older),
            state: entry.map_or(TaskState::Unknown, Entry::state),
        }
    }

    pub(super) fn stop(&mut self, scope: &StopScope, attempt: Attempt) {
        let kinds: &[TaskKind] = match scope {
            StopScope::Kind(kind) => std::slice::from_ref(kind),
            StopScope::All => &TaskKind::ALL,
            StopScope::Task(name) => {
                if !self.stale_names.contains(name) {
                    self.stale_names.push_back(name.clone());
                    self.stale_names.drain(..self.stale_names.len().saturating_sub(STALE_NAMES));
                }
                for task in self.tasks.iter().filter(|t| t.identity.name == *name) {
                    task.stop.send_replace(true);
                }
                return;
            }
        };
        for kind in kinds {
            self.raise_fence(*kind, attempt);
            let older = |t: &&Entry| t.identity.kind == *kind && t.identity.attempt < attempt;
            for task in self.tasks.iter().filter(older) {
                task.stop.send_replace(true);
            }
        }
    }

    /// Tells every task to end, and gives what their ends can be waited for by.
    pub(super) fn stop_all(&self) -> Vec<watch::Receiver<Stage>> {
        for task in &self.tasks {
            task.stop.send_replace(true);
        }
        self.tasks.iter().map(|task| task.stage.subscribe()).collect()
    }

    pub(super) fn list(&self) -> impl Iterator<Item = TaskInfo> {
        self.tasks.iter().map(|entry| {
            let TaskIdentity { app, kind, name, attempt, life, since, .. } = entry.identity.clone();
            TaskInfo { task: TaskRef { app, kind, name }, attempt, life, state: entry.state(), since }
        })
    }

    /// Whether the app is gone for good, and nothing of it is left here.
    pub(super) fn is_over(&self) -> bool {
        self.is_gone() && self.tasks.is_empty()
    }

    fn is_gone(&self) -> bool {
        TaskKind::ALL.iter().all(|kind| self.fences.get(kind) == Some(&Attempt::MAX))
    }

    /// Forgets ended tasks that need not be kept – all of them once the app is gone for good – and gives their folders,
    /// which the caller removes.
    pub(super) fn take_surplus(&mut self) -> Vec<PathBuf> {
        let is_gone = self.is_gone();
        let (mut gone, mut bytes) = (Vec::new(), 0);
        let mut count: BTreeMap<TaskKind, usize> = BTreeMap::new();
        let mut kept: Vec<Entry> = Vec::new();
        for entry in std::mem::take(&mut self.tasks).into_iter().rev() {
            let last = match &*entry.stage.borrow() {
                Stage::Ended { ended, size } => Some((ended.at, *size)),
                Stage::Starting | Stage::Running => None,
            };
            let Some((at, size)) = last else {
                kept.push(entry);
                continue;
            };
            let count = count.entry(entry.identity.kind).or_default();
            *count += 1;
            bytes += size;
            // The newest one's output fits always.
            if is_gone || *count > KEPT || bytes > KEPT_BYTES || since(at) > KEPT_FOR {
                gone.push(entry.folder);
            } else {
                kept.push(entry);
            }
        }
        kept.reverse();
        self.tasks = kept;
        gone
    }
}
