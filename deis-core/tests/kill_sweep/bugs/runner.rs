//! Faults that show at the task runner.

use std::sync::Arc;

use async_trait::async_trait;
use deis_core::{
    model::{AppRef, Attempt, Task, TaskInfo, TaskObservation, TaskRef},
    port::{Attached, Cursor, StopScope, TaskError, TaskRunner},
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
    async fn start(&self, task: &Task) -> Result<(), TaskError> {
        let answer = self.inner.start(task).await;
        // The caller's next call writes what was kept back: one that dies before has started what is not on record.
        self.store.release_later();
        answer
    }

    async fn attach(&self, task: &TaskRef, from: Cursor, input: bool) -> Result<Attached, TaskError> {
        self.inner.attach(task, from, input).await
    }

    async fn observe(&self, task: &TaskRef) -> Result<TaskObservation, TaskError> {
        let mut seen = self.inner.observe(task).await?;
        if self.bug == Bug::OlderCommandIgnored {
            seen.older_running = false;
        }
        Ok(seen)
    }

    async fn stop(&self, app: &AppRef, scope: &StopScope, attempt: Attempt) -> Result<(), TaskError> {
        self.inner.stop(app, scope, attempt).await
    }

    async fn tasks(&self, app: Option<&AppRef>) -> Result<Vec<TaskInfo>, TaskError> {
        self.inner.tasks(app).await
    }
}
