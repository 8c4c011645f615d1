//! The simulated task runner: a task runs for some ticks, and one that is stopped needs some to end.

use async_trait::async_trait;

use super::{
    World,
    world::{SimTask, State},
};
use crate::{
    model::{AppRef, AppUid, Attempt, Exit, Program, Task, TaskKind, TaskName, TaskObservation, TaskState},
    port::{OutputSender, StopScope, TaskError, TaskRunner},
};

/// Ticks that a slow release command takes: more than a rollout that goes well.
const SLOW: u32 = 22;
/// Ticks that a task needs to end when it is stopped.
const STOPS_IN: u32 = 2;
/// How a stopped task ends.
const STOPPED: Exit = Exit::Signal(15);

#[async_trait]
impl TaskRunner for World {
    async fn start(&self, task: Task, _: OutputSender) -> Result<(), TaskError> {
        let mut state = self.state();
        let fence = state.fences.entry((task.app.uid, task.kind)).or_default();
        if task.attempt < *fence {
            return Err(TaskError::Stale { given: task.attempt, current: *fence });
        }
        *fence = task.attempt;
        let key = (task.app.uid, task.kind, task.name.clone());
        if state.tasks.contains_key(&key) {
            return Ok(());
        }
        if task.kind == TaskKind::Release {
            state.runs.push((task.app.uid, task.attempt));
            if state.is_running(task.app.uid, |kind, _| kind == TaskKind::Release) {
                state.violations.push("two release commands of an app run at once".to_owned());
            }
        }
        let command = match &task.program {
            Program::Launch { command, .. } => command.as_shell().unwrap_or_default(),
            Program::Exec { .. } => "",
        };
        let (left, exit) = match command {
            "release-fails" => (1, Exit::Code(1)),
            "release-slow" => (SLOW, Exit::Code(0)),
            _ => (1, Exit::Code(0)),
        };
        let task = SimTask { attempt: task.attempt, state: TaskState::Running, left, exit };
        state.tasks.insert(key, task);
        Ok(())
    }

    async fn observe(
        &self,
        app: &AppRef,
        kind: TaskKind,
        name: &TaskName,
    ) -> Result<TaskObservation, TaskError> {
        let state = self.state();
        let fence = state.fences.get(&(app.uid, kind)).copied().unwrap_or_default();
        let known = state.tasks.get(&(app.uid, kind, name.clone())).map(|task| task.state.clone());
        let older_running = state.is_running(app.uid, |k, task| k == kind && task.attempt < fence);
        Ok(TaskObservation { fence, older_running, state: known.unwrap_or(TaskState::Unknown) })
    }

    async fn stop(&self, app: &AppRef, scope: StopScope, attempt: Attempt) -> Result<(), TaskError> {
        let mut state = self.state();
        let kinds = match scope {
            StopScope::Kind(kind) => vec![kind],
            StopScope::All => vec![TaskKind::Build, TaskKind::Release, TaskKind::Run],
        };
        for kind in kinds {
            let fence = state.fences.entry((app.uid, kind)).or_default();
            if attempt > *fence {
                *fence = attempt;
            }
            for ((uid, k, _), task) in &mut state.tasks {
                if *uid == app.uid && *k == kind && task.attempt < attempt && task.exit != STOPPED {
                    (task.exit, task.left) = (STOPPED, STOPS_IN);
                }
            }
        }
        Ok(())
    }

    async fn is_idle(&self, app: &AppRef) -> Result<bool, TaskError> {
        let state = self.state();
        Ok(!state.is_running(app.uid, |_, _| true))
    }
}

impl State {
    fn is_running(&self, app: AppUid, wanted: impl Fn(TaskKind, &SimTask) -> bool) -> bool {
        self.tasks.iter().any(|((uid, kind, _), task)| {
            *uid == app && task.state == TaskState::Running && wanted(*kind, task)
        })
    }
}
