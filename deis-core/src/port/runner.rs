//! Who runs tasks: processes that run to their end, whose output and input can be followed from anywhere.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::{BoxError, Cursor, MAX_CHUNK, Positioned};
use crate::model::{
    AppRef, Attempt, Task, TaskInfo, TaskKind, TaskName, TaskObservation, TaskRef, TaskSignal, TerminalSize,
};

/// Runs tasks, fenced by attempt within each kind of an app.
///
/// # Contract
/// A task ends with everything that it started, at the latest after its limit, which counts from the moment that it
/// runs. A [bound](crate::model::TaskLife::Bound) task does not outlive the platform process that started it where the
/// runner is local; a remote runner finds it again by its name. What it printed and how it ended stays known for a
/// while: of each app and kind at least the newest 32 ended tasks for a day, up to 64 MiB of output an app.
///
/// Every call may be repeated. The future of a call may be dropped: whether the call took effect is unknown then, as
/// after [`TaskError::Unavailable`]. Conveniences stand in [`TaskRunnerExt`](super::TaskRunnerExt).
///
/// # Implementing
/// Run `conformance::runner` over it. The tasks of this one print their command and have ended:
///
/// ```
/// use std::{collections::BTreeMap, sync::{Mutex, MutexGuard, PoisonError}};
/// use deis_core::{
///     Timestamp,
///     model::{
///         AppRef, AppUid, Attempt, Exit, Program, Task, TaskInfo, TaskKind, TaskObservation, TaskRef,
///         TaskState,
///     },
///     port::{
///         Attached, Cursor, OutputChunk, OutputItem, OutputStream, Positioned, StopScope, TaskError,
///         TaskRunner,
///     },
/// };
/// use futures_util::{StreamExt as _, stream};
///
/// #[derive(Debug, Default)]
/// struct Echo(Mutex<Known>);
///
/// #[derive(Debug, Default)]
/// struct Known {
///     fences: BTreeMap<(AppUid, TaskKind), Attempt>,
///     stopped: Vec<TaskRef>,
///     /// With what they printed.
///     tasks: Vec<(TaskInfo, String)>,
/// }
///
/// impl Echo {
///     fn lock(&self) -> MutexGuard<'_, Known> {
///         self.0.lock().unwrap_or_else(PoisonError::into_inner)
///     }
/// }
///
/// #[async_trait::async_trait]
/// impl TaskRunner for Echo {
///     async fn start(&self, task: &Task) -> Result<(), TaskError> {
///         let Program::Launch { command, .. } = &task.program else {
///             return Err(TaskError::Rejected { reason: "it has no tools".to_owned() });
///         };
///         let mut known = self.lock();
///         let (given, task_ref) = (task.attempt, task.reference());
///         let fence = known.fences.entry((task.app.uid, task.kind)).or_default();
///         let current = *fence;
///         if given < current {
///             return Err(TaskError::Stale { given, current });
///         }
///         *fence = given;
///         if known.stopped.contains(&task_ref) {
///             return Err(TaskError::Stale { given, current: Attempt::MAX });
///         }
///         if known.tasks.iter().all(|(info, _)| info.task != task_ref || info.attempt != given) {
///             let state = TaskState::Ended { exit: Exit::Code(0), last_lines: Vec::new() };
///             let info = TaskInfo { task: task_ref, attempt: given, life: task.life, state, since: Timestamp(0) };
///             known.tasks.push((info, format!("{command}\n")));
///         }
///         Ok(())
///     }
///
///     async fn attach(&self, task: &TaskRef, from: Cursor, _: bool) -> Result<Attached, TaskError> {
///         let known = self.lock();
///         let newest = known.tasks.iter().rev().find(|(info, _)| info.task == *task);
///         let (_, text) = newest.ok_or(TaskError::Unknown)?;
///         // A cursor counts bytes: whoever comes again gets what is left, and the end.
///         let left = text.as_bytes().get(from.into_raw() as usize..).unwrap_or_default().to_vec();
///         let chunk = OutputChunk { stream: OutputStream::Stdout, at: Timestamp(0), bytes: left.into() };
///         let items = [OutputItem::Output(chunk), OutputItem::Ended { exit: Exit::Code(0) }];
///         let cursor = Cursor::from_raw(text.len() as u64);
///         let output = stream::iter(items.map(|item| Ok(Positioned { cursor, item }))).boxed();
///         Ok(Attached { output, input: None })
///     }
///
///     async fn observe(&self, task: &TaskRef) -> Result<TaskObservation, TaskError> {
///         let known = self.lock();
///         let newest = known.tasks.iter().rev().find(|(info, _)| info.task == *task);
///         Ok(TaskObservation {
///             fence: known.fences.get(&(task.app.uid, task.kind)).copied().unwrap_or_default(),
///             older_running: false,
///             state: newest.map_or(TaskState::Unknown, |(info, _)| info.state.clone()),
///         })
///     }
///
///     async fn stop(&self, app: &AppRef, scope: &StopScope, attempt: Attempt) -> Result<(), TaskError> {
///         let mut known = self.lock();
///         let kinds = match scope {
///             StopScope::Kind(kind) => vec![*kind],
///             StopScope::All => TaskKind::ALL.to_vec(),
///             StopScope::Task(name) => {
///                 known.stopped.extend(TaskKind::ALL.map(|kind| {
///                     TaskRef { app: app.clone(), kind, name: name.clone() }
///                 }));
///                 return Ok(());
///             }
///         };
///         for kind in kinds {
///             let fence = known.fences.entry((app.uid, kind)).or_default();
///             *fence = attempt.max(*fence);
///         }
///         Ok(())
///     }
///
///     async fn tasks(&self, app: Option<&AppRef>) -> Result<Vec<TaskInfo>, TaskError> {
///         let known = self.lock();
///         let wanted = known.tasks.iter().filter(|(info, _)| app.is_none_or(|app| app.uid == info.task.app.uid));
///         Ok(wanted.map(|(info, _)| info.clone()).collect())
///     }
/// }
/// ```
#[async_trait]
pub trait TaskRunner: fmt::Debug + Send + Sync + 'static {
    /// Starts the task and returns once accepted. The same name and attempt again: no effect.
    ///
    /// # Errors
    /// [`TaskError::Stale`] for an attempt below the kind's fence, or a name that was stopped;
    /// [`TaskError::Rejected`] for what can never run.
    async fn start(&self, task: &Task) -> Result<(), TaskError>;

    /// Its output from `from` on, to its end; with `input` also the place of the one writer.
    ///
    /// Any number of readers is possible at any time, also after the end; a slow one costs only itself. Dropping
    /// what comes back stops nothing, except that a bound task whose input is open ends when its writer goes:
    /// SIGHUP, and SIGKILL after 5 s.
    ///
    /// # Errors
    /// [`TaskError::Unknown`] for a task that is not known, or no longer; [`TaskError::Busy`] if there is another
    /// writer.
    async fn attach(&self, task: &TaskRef, from: Cursor, input: bool) -> Result<Attached, TaskError>;

    /// What it knows of this task, and the fence of the kind.
    ///
    /// # Errors
    /// Only [`TaskError::Unavailable`]: an unknown task is [`TaskState::Unknown`](crate::model::TaskState::Unknown).
    async fn observe(&self, task: &TaskRef) -> Result<TaskObservation, TaskError>;

    /// Ends the app's tasks in `scope` and makes later starts of such stale; returns once accepted. Unknown app: `Ok`.
    /// [`StopScope::Kind`] and [`StopScope::All`] mean those that are older than `attempt`, [`StopScope::Task`] means
    /// that one whatever its attempt.
    ///
    /// # Errors
    /// [`TaskError::Unavailable`].
    async fn stop(&self, app: &AppRef, scope: &StopScope, attempt: Attempt) -> Result<(), TaskError>;

    /// What is known, of one app or of all, in the order of start.
    ///
    /// # Errors
    /// [`TaskError::Unavailable`].
    async fn tasks(&self, app: Option<&AppRef>) -> Result<Vec<TaskInfo>, TaskError>;
}

/// Which tasks of an app a stop means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopScope {
    /// Those of one kind.
    Kind(TaskKind),
    /// All, as when the app is destroyed.
    All,
    /// The one of this name.
    Task(TaskName),
}

/// A task's output as a stream. Asking for an item acknowledges all items before it: where output is
/// [held](crate::model::WhenFull::Hold), that makes room. An error, or an end without
/// [`OutputItem::Ended`](super::OutputItem::Ended), is a broken connection to the runner: attach again from the last
/// cursor.
pub type OutputItems = BoxStream<'static, Result<Positioned, TaskError>>;

/// A connection to a task.
pub struct Attached {
    /// Its output.
    pub output: OutputItems,
    /// The writer's place, if it was asked for.
    pub input: Option<Box<dyn TaskWriter>>,
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").field("input", &self.input.is_some()).finish_non_exhaustive()
    }
}

/// The one writer of a task. Dropping it frees its place. Input is neither kept nor replayed.
///
/// Writing and the other calls can go on side by side: a write that waits holds up no signal.
///
/// # Implementing
/// An implementor hands it out in [`Attached`]. Where a process reads no input, all of it is thrown away:
///
/// ```
/// use bytes::Bytes;
/// use deis_core::{
///     model::{TaskSignal, TerminalSize},
///     port::{TaskError, TaskWriter, check_write},
/// };
///
/// struct Nowhere;
///
/// #[async_trait::async_trait]
/// impl TaskWriter for Nowhere {
///     async fn write(&self, bytes: Bytes) -> Result<(), TaskError> {
///         check_write(&bytes)
///     }
///
///     async fn end(&self) -> Result<(), TaskError> {
///         Ok(())
///     }
///
///     async fn resize(&self, _: TerminalSize) -> Result<(), TaskError> {
///         Ok(())
///     }
///
///     async fn signal(&self, _: TaskSignal) -> Result<(), TaskError> {
///         Err(TaskError::Unavailable("there is no process".into()))
///     }
/// }
/// ```
#[async_trait]
pub trait TaskWriter: Send + Sync + 'static {
    /// Writes at most [`MAX_CHUNK`] bytes; waits while the process has not read the 64 KiB before. What
    /// a process has closed its input for is thrown away.
    ///
    /// # Errors
    /// [`TaskError::Rejected`] for more than [`MAX_CHUNK`] bytes; [`TaskError::Unavailable`] once the
    /// task is gone.
    async fn write(&self, bytes: Bytes) -> Result<(), TaskError>;

    /// Ends the input; on a terminal this is Ctrl-D.
    ///
    /// # Errors
    /// [`TaskError::Unavailable`] once the task is gone.
    async fn end(&self) -> Result<(), TaskError>;

    /// The terminal has another size now; without a terminal there is no effect.
    ///
    /// # Errors
    /// [`TaskError::Unavailable`] once the task is gone.
    async fn resize(&self, size: TerminalSize) -> Result<(), TaskError>;

    /// Sends a signal to the process group of the task.
    ///
    /// # Errors
    /// [`TaskError::Unavailable`] once the task is gone.
    async fn signal(&self, signal: TaskSignal) -> Result<(), TaskError>;
}

/// What every [`TaskWriter::write`] asks first.
///
/// # Errors
/// [`TaskError::Rejected`] for more than [`MAX_CHUNK`] bytes.
pub fn check_write(bytes: &[u8]) -> Result<(), TaskError> {
    if bytes.len() > MAX_CHUNK {
        return Err(TaskError::Rejected { reason: format!("a write has more than {MAX_CHUNK} bytes") });
    }
    Ok(())
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
    /// There is no such task, or no longer.
    #[error("there is no such task")]
    Unknown,
    /// The task has a writer.
    #[error("somebody else writes to the task")]
    Busy,
    /// It cannot be reached; whether the call took effect is unknown.
    #[error("the task runner is not available")]
    Unavailable(#[source] BoxError),
}
