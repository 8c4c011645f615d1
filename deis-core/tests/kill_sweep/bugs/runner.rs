//! Faults that show at the task runner.

use std::sync::Arc;

use async_trait::async_trait;
use deis_core::{
    AppRef, Attempt, Task, TaskKind, TaskName, TaskObservation,
    port::{OutputSender, StopScope, TaskError, TaskRunner},
};

use super::{Bug, store::PlantedStore};

/// A runner that hides older tasks, or whose starts come before their record.
#[derive(Debug)]
pub(super) struct PlantedRunner {
    pub(super) bug: Bug,
    pub(super) inner: Arc<dyn TaskRunner>,
    pub(super) store: Arc<PlantedStore>,
}

#[async_trait]
impl TaskRunner for PlantedRunner {
    async fn start(&self, task: Task, output: OutputSender) -> Result<(), TaskError> {
        let answer = self.inner.start(task, output).await;
        // The caller's next call writes what was kept back: one that dies before has started what is not on record.
        self.store.release_later();
        answer
    }

    async fn observe(
        &self,
        app: &AppRef,
        kind: TaskKind,
        name: &TaskName,
    ) -> Result<TaskObservation, TaskError> {
        let mut seen = self.inner.observe(app, kind, name).await?;
        if self.bug == Bug::OlderCommandIgnored {
            seen.older_running = false;
        }
        Ok(seen)
    }

    async fn stop(&self, app: &AppRef, scope: StopScope, attempt: Attempt) -> Result<(), TaskError> {
        self.inner.stop(app, scope, attempt).await
    }

    async fn is_idle(&self, app: &AppRef) -> Result<bool, TaskError> {
        self.inner.is_idle(app).await
    }
}
