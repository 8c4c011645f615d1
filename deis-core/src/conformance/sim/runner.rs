//! The simulated task runner: a task runs until the next tick.

use async_trait::async_trait;

use super::World;
use crate::{
    model::{AppRef, Attempt, Exit, Program, Task, TaskKind, TaskName, TaskObservation, TaskState},
    port::{OutputSender, StopScope, TaskError, TaskRunner},
};

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
        }
        let fails = matches!(&task.program, Program::Launch { command, .. } if command.as_shell() == Some("release-fails"));
        let failed = TaskState::Ended { exit: Exit::Code(1), last_lines: vec!["no".to_owned()] };
        state.tasks.insert(key, if fails { failed } else { TaskState::Running });
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
        let known = state.tasks.get(&(app.uid, kind, name.clone())).cloned();
        Ok(TaskObservation { fence, older_running: false, state: known.unwrap_or(TaskState::Unknown) })
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
                state.tasks.retain(|(uid, k, _), _| *uid != app.uid || *k != kind);
            }
        }
        Ok(())
    }

    async fn is_idle(&self, app: &AppRef) -> Result<bool, TaskError> {
        let state = self.state();
        let running =
            |((uid, _, _), task): (&(_, _, _), &TaskState)| *uid == app.uid && *task == TaskState::Running;
        Ok(!state.tasks.iter().any(running))
    }
}
