//! Who runs tasks: processes that run to their end, with their output streamed.

use std::fmt;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::BoxError;
use crate::model::{AppRef, Attempt, Task, TaskKind, TaskName, TaskObservation};

/// Runs tasks, fenced by attempt.
///
/// # Contract
/// A task ends with its whole process group, at the latest after its limit. A task does not outlive the
/// platform process that started it where the runner is local; a remote runner finds it again by its name.
///
/// # Implementing
/// Run `conformance::runner` over it.
#[async_trait]
pub trait TaskRunner: fmt::Debug + Send + Sync + 'static {
    /// Starts the task and returns once accepted; its output follows line by line. The same name and attempt
    /// again: no effect. An attempt below the kind's fence: [`TaskError::Stale`]. A slow or gone receiver
    /// never fails the task.
    async fn start(&self, task: Task, output: OutputSender) -> Result<(), TaskError>;

    /// What it knows of this task, and the fence of the kind.
    async fn observe(
        &self,
        app: &AppRef,
        kind: TaskKind,
        name: &TaskName,
    ) -> Result<TaskObservation, TaskError>;

    /// Ends the app's tasks in `scope` that are older than `attempt` and makes later starts of such stale;
    /// returns once accepted. Unknown app: `Ok`.
    async fn stop(&self, app: &AppRef, scope: StopScope, attempt: Attempt) -> Result<(), TaskError>;

    /// Whether any task of the app still runs.
    async fn is_idle(&self, app: &AppRef) -> Result<bool, TaskError>;
}

/// Which tasks of an app a stop means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopScope {
    /// Those of one kind.
    Kind(TaskKind),
    /// All, as when the app is destroyed.
    All,
}

/// A line that a task printed, on standard output or standard error: they are one stream, in the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// The text without line end; not necessarily what was UTF-8 before.
    pub text: String,
}

/// The writing end of a task's output.
pub type OutputSender = mpsc::Sender<OutputLine>;

/// A channel for a task's output with room for a burst; a reader that stalls stalls the task's printing only.
pub fn output_channel() -> (OutputSender, mpsc::Receiver<OutputLine>) {
    mpsc::channel(1024)
}

/// Why a runner call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// Somebody with a newer view was here before.
    #[error("attempt {given} is older than {current}, which was accepted before")]
    Stale {
        /// What was given.
        given: Attempt,
        /// What was accepted before.
        current: Attempt,
    },
    /// It will never run this task.
    #[error("the task was refused: {reason}")]
    Rejected {
        /// Why, for people.
        reason: String,
    },
    /// It cannot be reached; whether the call took effect is unknown.
    #[error("the task runner is not available")]
    Unavailable(#[source] BoxError),
}
