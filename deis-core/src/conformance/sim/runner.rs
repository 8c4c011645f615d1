//! The simulated task runner: tasks move on at the ticks of their world.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::{
    World,
    tasks::{INPUT_WINDOW, SimTask},
};
use crate::{
    model::{
        AppRef, AppUid, Attempt, Task, TaskInfo, TaskKind, TaskObservation, TaskRef, TaskSignal, TaskState,
        TerminalSize,
    },
    port::{
        Attached, Cursor, OutputItem, Positioned, StopScope, TaskError, TaskRunner, TaskWriter, check_write,
    },
};

/// Ended tasks that are kept per app and kind.
const KEPT: usize = 32;

/// A task in the world's table: of which app, which kind, name and attempt.
pub(super) type TaskKey = (AppUid, TaskKind, crate::model::TaskName, Attempt);

#[async_trait]
impl TaskRunner for World {
    async fn start(&self, task: &Task) -> Result<(), TaskError> {
        let mut state = self.state();
        if state.stale_tasks.contains(&(task.app.uid, task.name.clone())) {
            return Err(TaskError::Stale { given: task.attempt, current: Attempt::MAX });
        }
        let fence = state.fences.entry((task.app.uid, task.kind)).or_default();
        if task.attempt < *fence {
            return Err(TaskError::Stale { given: task.attempt, current: *fence });
        }
        *fence = task.attempt;
        let key = (task.app.uid, task.kind, task.name.clone(), task.attempt);
        if state.tasks.contains_key(&key) {
            return Ok(());
        }
        if task.kind == TaskKind::Release {
            state.runs.push((task.app.uid, task.attempt));
            let is_release = |((uid, kind, ..), known): (&TaskKey, &SimTask)| {
                *uid == task.app.uid && *kind == TaskKind::Release && known.state.is_active()
            };
            if state.tasks.iter().any(is_release) {
                state.violations.push("two release commands of an app run at once".to_owned());
            }
        }
        let order = state.tasks.values().map(|task| task.order).max().unwrap_or(0) + 1;
        let mut ended: Vec<(u64, TaskKey)> = state
            .tasks
            .iter()
            .filter(|((uid, kind, ..), known)| {
                *uid == task.app.uid && *kind == task.kind && !known.state.is_active()
            })
            .map(|(key, known)| (known.order, key.clone()))
            .collect();
        ended.sort();
        for (_, oldest) in ended.iter().take(ended.len().saturating_sub(KEPT)) {
            state.tasks.remove(oldest);
        }
        state.tasks.insert(key, SimTask::new(task.clone(), order));
        state.tasks_changed.notify_waiters();
        Ok(())
    }

    async fn attach(&self, task: &TaskRef, from: Cursor, input: bool) -> Result<Attached, TaskError> {
        let key = self.newest(task).ok_or(TaskError::Unknown)?;
        let input = if input {
            let mut state = self.state();
            let known = state.tasks.get_mut(&key).ok_or(TaskError::Unknown)?;
            if known.has_writer {
                return Err(TaskError::Busy);
            }
            known.has_writer = true;
            Some(Box::new(SimWriter { world: self.clone(), key: key.clone() }) as Box<dyn TaskWriter>)
        } else {
            None
        };
        let reader = SimReader::new(self.clone(), key, from);
        let output = stream::unfold(reader, |mut reader| async move {
            let item = reader.next().await?;
            Some((Ok(item), reader))
        });
        Ok(Attached { output: output.boxed(), input })
    }

    async fn observe(&self, task: &TaskRef) -> Result<TaskObservation, TaskError> {
        let key = self.newest(task);
        let state = self.state();
        let fence = state.fences.get(&(task.app.uid, task.kind)).copied().unwrap_or_default();
        let older = |((uid, kind, _, attempt), known): (&TaskKey, &SimTask)| {
            *uid == task.app.uid && *kind == task.kind && *attempt < fence && known.state.is_active()
        };
        Ok(TaskObservation {
            fence,
            older_running: state.tasks.iter().any(older),
            state: key.and_then(|key| state.tasks.get(&key)).map_or(TaskState::Unknown, |t| t.state.clone()),
        })
    }

    async fn stop(&self, app: &AppRef, scope: &StopScope, attempt: Attempt) -> Result<(), TaskError> {
        let mut state = self.state();
        let kinds: &[TaskKind] = match scope {
            StopScope::Kind(kind) => std::slice::from_ref(kind),
            StopScope::All => &TaskKind::ALL,
            StopScope::Task(name) => {
                state.stale_tasks.insert((app.uid, name.clone()));
                &[]
            }
        };
        for kind in kinds {
            let fence = state.fences.entry((app.uid, *kind)).or_default();
            *fence = attempt.max(*fence);
        }
        for ((uid, kind, name, own), task) in &mut state.tasks {
            let meant = match scope {
                StopScope::Task(wanted) => name == wanted,
                StopScope::Kind(_) | StopScope::All => kinds.contains(kind) && *own < attempt,
            };
            if *uid == app.uid && meant {
                task.stop();
            }
        }
        Ok(())
    }

    async fn tasks(&self, app: Option<&AppRef>) -> Result<Vec<TaskInfo>, TaskError> {
        let state = self.state();
        let wanted = state.tasks.values().filter(|task| app.is_none_or(|app| app.uid == task.task.app.uid));
        Ok(wanted.map(SimTask::info).collect())
    }
}

impl World {
    fn newest(&self, task: &TaskRef) -> Option<TaskKey> {
        let state = self.state();
        let named = state
            .tasks
            .keys()
            .filter(|(uid, kind, name, _)| *uid == task.app.uid && *kind == task.kind && *name == task.name);
        named.max_by_key(|(_, _, _, attempt)| *attempt).cloned()
    }

    fn change(&self, key: &TaskKey, change: impl FnOnce(&mut SimTask)) {
        let mut state = self.state();
        if let Some(task) = state.tasks.get_mut(key) {
            change(task);
        }
        state.tasks_changed.notify_waiters();
    }
}

struct SimReader {
    world: World,
    key: TaskKey,
    from: Cursor,
    done: bool,
}

impl SimReader {
    fn new(world: World, key: TaskKey, from: Cursor) -> Self {
        world.change(&key, |task| task.readers += 1);
        Self { world, key, from, done: false }
    }

    async fn next(&mut self) -> Option<Positioned> {
        while !self.done {
            let changed = Arc::clone(&self.world.state().tasks_changed);
            let notified = changed.notified();
            let mut notified = std::pin::pin!(notified);
            // From here on nothing is missed.
            notified.as_mut().enable();
            let from = self.from;
            let (item, known) = {
                let mut state = self.world.state();
                let task = state.tasks.get_mut(&self.key);
                let known = task.is_some();
                let item = task.and_then(|task| {
                    task.acknowledged = task.acknowledged.max(from.into_raw());
                    task.item_at(from)
                });
                (item, known)
            };
            if let Some(item) = item {
                self.from = item.cursor;
                self.done = matches!(item.item, OutputItem::Ended { .. });
                return Some(item);
            }
            if !known {
                return None;
            }
            notified.await;
        }
        None
    }
}

impl Drop for SimReader {
    fn drop(&mut self) {
        self.world.change(&self.key, |task| task.readers = task.readers.saturating_sub(1));
    }
}

struct SimWriter {
    world: World,
    key: TaskKey,
}

impl SimWriter {
    fn ask(&self, change: impl FnOnce(&mut SimTask)) -> Result<(), TaskError> {
        let active = self.world.state().tasks.get(&self.key).is_some_and(|task| task.state.is_active());
        if !active {
            return Err(TaskError::Unavailable("the task has ended".into()));
        }
        self.world.change(&self.key, change);
        Ok(())
    }
}

#[async_trait]
impl TaskWriter for SimWriter {
    async fn write(&self, bytes: Bytes) -> Result<(), TaskError> {
        check_write(&bytes)?;
        loop {
            let changed = Arc::clone(&self.world.state().tasks_changed);
            let notified = changed.notified();
            let mut notified = std::pin::pin!(notified);
            notified.as_mut().enable();
            // The task is touched, which wakes every waiter, only when there is room: otherwise each of these loops would
            // wake itself, and the others, without end.
            let has_room = |task: &SimTask| task.input.len() + bytes.len() <= INPUT_WINDOW;
            if self.world.state().tasks.get(&self.key).is_none_or(has_room) {
                return self.ask(|task| task.input.extend(&bytes));
            }
            notified.await;
        }
    }

    async fn end(&self) -> Result<(), TaskError> {
        self.ask(|task| task.input_ended = true)
    }

    async fn resize(&self, size: TerminalSize) -> Result<(), TaskError> {
        self.ask(|task| task.size = task.size.map(|_| (size.columns, size.rows)))
    }

    async fn signal(&self, signal: TaskSignal) -> Result<(), TaskError> {
        let number = match signal {
            TaskSignal::Hup => 1,
            TaskSignal::Int => 2,
            TaskSignal::Quit => 3,
            TaskSignal::Kill => 9,
            TaskSignal::Usr1 => 10,
            TaskSignal::Usr2 => 12,
            TaskSignal::Term => 15,
        };
        self.ask(|task| task.signal = Some(number))
    }
}

impl Drop for SimWriter {
    fn drop(&mut self) {
        self.world.change(&self.key, SimTask::hang_up);
    }
}
