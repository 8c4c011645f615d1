//! What every task runner must do.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::wait::until;
use crate::{
    model::{
        AppName, AppRef, AppUid, Attempt, Exit, Program, Task, TaskInfo, TaskKind, TaskName, TaskObservation,
        TaskRef, TaskState,
    },
    port::{Attached, Cursor, StopScope, TaskError, TaskRunner, TaskRunnerExt as _},
};

mod input;
mod life;
mod output;

pub use input::*;
pub use life::*;
pub use output::*;

/// A runner that has run nothing, and what its cases may run on it.
#[derive(Clone)]
pub struct RunnerSubject {
    /// The runner.
    pub runner: Arc<dyn TaskRunner>,
    /// Ends the process of the runner – the case has let go of it – and gives the runner of the next one.
    pub next_process: Arc<dyn Fn() -> BoxFuture<'static, Arc<dyn TaskRunner>> + Send + Sync>,
    /// Prints the line `out` and, on standard error, `err`, and ends with code 3.
    pub prints: Program,
    /// Runs until it is stopped, or a signal ends it.
    pub lasts: Program,
    /// Prints without end.
    pub floods: Program,
    /// Prints [`COUNTED`] bytes, each its position modulo 251, and ends with code 0.
    pub counts: Program,
    /// Prints its input, and ends with it with code 0.
    pub copies: Program,
    /// Prints `<rows> <columns>` of its terminal, again whenever that changes, and ends with its input.
    pub measures: Program,
    /// How long the runner may take for anything that a case waits for.
    pub patience: Duration,
}

/// How much [`RunnerSubject::counts`] prints: more than is kept.
pub const COUNTED: u64 = 20 << 20;

impl std::fmt::Debug for RunnerSubject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunnerSubject").field("runner", &self.runner).finish_non_exhaustive()
    }
}

impl RunnerSubject {
    async fn start(&self, task: &Task) -> TaskRef {
        self.runner.start(task).await.expect("the task is newer than all before");
        task.reference()
    }

    async fn observe(&self, task: &TaskRef) -> TaskObservation {
        self.runner.observe(task).await.expect("the runner can be asked")
    }

    /// How it ended, and its last lines.
    async fn ended(&self, task: &TaskRef) -> (Exit, Vec<String>) {
        until(self.patience, "the task ends", || async {
            match self.observe(task).await.state {
                TaskState::Ended { exit, last_lines } => Some((exit, last_lines)),
                _ => None,
            }
        })
        .await
    }

    async fn running(&self, task: &TaskRef) {
        until(self.patience, "the task runs", || async {
            (self.observe(task).await.state == TaskState::Running).then_some(())
        })
        .await;
    }

    async fn is_idle(&self, app: &AppRef) -> bool {
        self.runner.is_idle(app).await.expect("the runner can be asked")
    }

    async fn stop(&self, app: &AppRef, scope: StopScope, attempt: u64) {
        self.runner.stop(app, &scope, Attempt(attempt)).await.expect("stopping is accepted");
    }

    async fn is_stale(&self, task: Task) -> bool {
        matches!(self.runner.start(&task).await, Err(TaskError::Stale { .. }))
    }
}

fn task(app: &AppRef, kind: TaskKind, attempt: u64, program: &Program) -> Task {
    let task = Task::new(app.clone(), kind, name("one"), program.clone(), Duration::from_secs(600));
    Task { attempt: Attempt(attempt), ..task }
}

fn app() -> AppRef {
    AppRef { name: AppName::new("blog").expect("it is a valid name"), uid: AppUid(Uuid::new_v4()) }
}

fn name(text: &str) -> TaskName {
    TaskName::new(text).expect("it is a valid name")
}

async fn attempt_of(s: &RunnerSubject, task: &TaskRef) -> u64 {
    s.observe(task).await.fence.0
}

/// Stands where a runner was whose process has ended.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl TaskRunner for Nobody {
    async fn start(&self, _: &Task) -> Result<(), TaskError> {
        Err(TaskError::Unavailable("its process has ended".into()))
    }
    async fn attach(&self, _: &TaskRef, _: Cursor, _: bool) -> Result<Attached, TaskError> {
        Err(TaskError::Unavailable("its process has ended".into()))
    }
    async fn observe(&self, _: &TaskRef) -> Result<TaskObservation, TaskError> {
        Err(TaskError::Unavailable("its process has ended".into()))
    }
    async fn stop(&self, _: &AppRef, _: &StopScope, _: Attempt) -> Result<(), TaskError> {
        Err(TaskError::Unavailable("its process has ended".into()))
    }
    async fn tasks(&self, _: Option<&AppRef>) -> Result<Vec<TaskInfo>, TaskError> {
        Err(TaskError::Unavailable("its process has ended".into()))
    }
}

/// The same name and attempt again starts nothing, while it runs and after.
pub async fn the_same_attempt_runs_once(s: RunnerSubject) {
    let app = app();
    let task = task(&app, TaskKind::Release, 4, &s.prints);
    let reference = s.start(&task).await;
    s.start(&task).await;
    s.ended(&reference).await;
    s.start(&task).await;
    let (_, lines) = s.ended(&reference).await;
    assert_eq!(lines, ["out", "err"], "it printed only once");
    assert_eq!(s.runner.tasks(Some(&app)).await.expect("the runner can be asked").len(), 1);
}

/// An older attempt than one that was started before is stale; that of another kind is not.
pub async fn attempts_fence(s: RunnerSubject) {
    let app = app();
    let release = s.start(&task(&app, TaskKind::Release, 5, &s.prints)).await;
    assert!(s.is_stale(task(&app, TaskKind::Release, 4, &s.prints)).await);
    assert_eq!(s.observe(&release).await.fence, Attempt(5));
    let build = s.start(&task(&app, TaskKind::Build, 1, &s.prints)).await;
    s.ended(&build).await;
    s.ended(&release).await;
}

/// Stopping ends older attempts and makes later starts of them stale, also where nothing ran.
pub async fn stopping_fences(s: RunnerSubject) {
    let app = app();
    s.stop(&app, StopScope::Kind(TaskKind::Release), 3).await;
    assert!(s.is_stale(task(&app, TaskKind::Release, 2, &s.lasts)).await);
    let release = s.start(&task(&app, TaskKind::Release, 3, &s.lasts)).await;
    s.running(&release).await;
    s.stop(&app, StopScope::Kind(TaskKind::Release), 3).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(s.observe(&release).await.state, TaskState::Running, "it is not older");
    s.stop(&app, StopScope::Kind(TaskKind::Release), 4).await;
    let (exit, _) = s.ended(&release).await;
    assert_ne!(exit, Exit::Code(0));
    let seen = s.observe(&release).await;
    assert_eq!((seen.fence, seen.older_running), (Attempt(4), false));
}

/// Until an older attempt has ended, that is seen.
pub async fn an_older_attempt_that_runs_is_seen(s: RunnerSubject) {
    let app = app();
    let mut old = task(&app, TaskKind::Release, 1, &s.lasts);
    old.name = name("older");
    s.start(&old).await;
    let new = s.start(&task(&app, TaskKind::Release, 2, &s.prints)).await;
    assert!(s.observe(&new).await.older_running);
    s.ended(&new).await;
    s.stop(&app, StopScope::Kind(TaskKind::Release), 2).await;
    until(s.patience, "the older task ends", || async { s.is_idle(&app).await.then_some(()) }).await;
    assert!(!s.observe(&new).await.older_running);
}

/// Stopping one task by its name ends that one whatever its attempt, and no other; it never starts again.
pub async fn stopping_one_makes_its_name_stale(s: RunnerSubject) {
    let app = app();
    let (mut one, mut other) =
        (task(&app, TaskKind::Run, 0, &s.lasts), task(&app, TaskKind::Run, 0, &s.lasts));
    (one.name, other.name) = (name("this-one"), name("other"));
    let (this, kept) = (s.start(&one).await, s.start(&other).await);
    s.running(&kept).await;
    s.stop(&app, StopScope::Task(one.name.clone()), 0).await;
    let (exit, _) = s.ended(&this).await;
    assert_ne!(exit, Exit::Code(0));
    assert_eq!(s.observe(&kept).await.state, TaskState::Running);
    one.attempt = Attempt(7);
    assert!(s.is_stale(one).await);
    // One that was stopped before it was ever started will not start, either.
    let mut never = task(&app, TaskKind::Run, 0, &s.lasts);
    never.name = name("never");
    s.stop(&app, StopScope::Task(never.name.clone()), 0).await;
    assert!(s.is_stale(never).await);
    s.stop(&app, StopScope::All, u64::MAX).await;
    until(s.patience, "all tasks end", || async { s.is_idle(&app).await.then_some(()) }).await;
}

/// Stopping everything ends tasks of all kinds and refuses all later ones.
pub async fn stopping_everything_is_final(s: RunnerSubject) {
    let app = app();
    s.start(&task(&app, TaskKind::Run, 1, &s.lasts)).await;
    s.start(&task(&app, TaskKind::Build, 9, &s.lasts)).await;
    assert!(!s.is_idle(&app).await);
    s.stop(&app, StopScope::All, u64::MAX).await;
    until(s.patience, "all tasks end", || async { s.is_idle(&app).await.then_some(()) }).await;
    for kind in TaskKind::ALL {
        assert!(s.is_stale(task(&app, kind, 100, &s.prints)).await);
    }
}

/// A task that runs longer than it may is ended whole.
pub async fn the_limit_ends_a_task(s: RunnerSubject) {
    let app = app();
    let mut task = task(&app, TaskKind::Build, 1, &s.lasts);
    task.limit = Duration::from_millis(200);
    let task = s.start(&task).await;
    assert_eq!(s.ended(&task).await.0, Exit::TimedOut);
}

/// Nothing is known of an unknown app, and that is no error; following it is one.
pub async fn an_unknown_app_is_idle(s: RunnerSubject) {
    let app = app();
    assert!(s.is_idle(&app).await);
    let unknown = TaskRef { app, kind: TaskKind::Build, name: name("one") };
    let seen = s.observe(&unknown).await;
    assert_eq!(seen, TaskObservation { fence: Attempt(0), older_running: false, state: TaskState::Unknown });
    let attached = s.runner.attach(&unknown, Cursor::START, false).await;
    assert!(matches!(attached, Err(TaskError::Unknown)), "{attached:?}");
}

/// Hands the names of all cases of [`conformance::runner`](crate::conformance::runner) to a macro of yours, after
/// whatever else it shall get: what a new task runner forgets to run does not compile out of sight.
///
/// ```
/// macro_rules! count {
///     ($($case:ident)*) => { [$(stringify!($case)),*].len() };
/// }
/// assert_eq!(deis_core::runner_cases!(count;), 28);
/// ```
#[macro_export]
macro_rules! runner_cases {
    ($with:ident; $($own:tt)*) => {
        $with! { $($own)*
            the_same_attempt_runs_once
            attempts_fence
            stopping_fences
            an_older_attempt_that_runs_is_seen
            stopping_one_makes_its_name_stale
            stopping_everything_is_final
            the_limit_ends_a_task
            an_unknown_app_is_idle
            output_and_end_are_told
            streams_are_kept_apart
            every_byte_arrives
            what_is_held_waits_for_its_reader
            what_is_held_and_never_read_is_stopped
            what_is_dropped_is_counted
            a_cursor_goes_on_where_it_was
            readers_cost_only_themselves
            output_of_the_ended_is_still_there
            a_flood_does_not_hold_up_the_limit
            input_arrives_and_ends
            there_is_one_writer
            a_write_waits_for_the_process
            signals_reach_the_process
            a_terminal_has_a_size
            a_bound_task_ends_with_its_writer
            a_bound_task_ends_with_its_process_and_is_still_known
            a_detached_task_is_found_by_the_next_process
            tasks_are_listed
            ended_tasks_are_kept_for_a_while
        }
    };
}
