//! What every task runner must do.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc::Receiver, time::timeout};
use uuid::Uuid;

use super::wait::until;
use crate::{
    model::{
        AppName, AppRef, AppUid, Attempt, Environment, Exit, Program, Task, TaskKind, TaskName,
        TaskObservation, TaskState,
    },
    port::{OutputLine, StopScope, TaskError, TaskRunner, output_channel},
};

/// A runner that has run nothing, and what its cases may run on it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The runner.
    pub runner: Arc<dyn TaskRunner>,
    /// Prints `out` and, on standard error, `err`, and ends with code 3.
    pub prints: Program,
    /// Runs until it is stopped.
    pub lasts: Program,
    /// Prints without end.
    pub floods: Program,
    /// How long the runner may take for anything that a case waits for.
    pub patience: Duration,
}

impl Subject {
    async fn start(&self, task: &Task) -> Receiver<OutputLine> {
        let (sender, receiver) = output_channel();
        self.runner.start(task.clone(), sender).await.expect("the task is newer than all before");
        receiver
    }

    async fn observe(&self, app: &AppRef, kind: TaskKind) -> TaskObservation {
        self.runner.observe(app, kind, &name()).await.expect("the runner can be asked")
    }

    async fn ended(&self, app: &AppRef, kind: TaskKind) -> (Exit, Vec<String>) {
        until(self.patience, "the task ends", || async {
            match self.observe(app, kind).await.state {
                TaskState::Ended { exit, last_lines } => Some((exit, last_lines)),
                _ => None,
            }
        })
        .await
    }

    async fn is_idle(&self, app: &AppRef) -> bool {
        self.runner.is_idle(app).await.expect("the runner can be asked")
    }

    async fn stop(&self, app: &AppRef, scope: StopScope, attempt: u64) {
        self.runner.stop(app, scope, Attempt(attempt)).await.expect("stopping is accepted");
    }

    async fn is_stale(&self, task: Task) -> bool {
        let (sender, _receiver) = output_channel();
        matches!(self.runner.start(task, sender).await, Err(TaskError::Stale { .. }))
    }
}

fn task(app: &AppRef, kind: TaskKind, attempt: u64, program: &Program) -> Task {
    Task {
        app: app.clone(),
        name: name(),
        kind,
        attempt: Attempt(attempt),
        release: None,
        program: program.clone(),
        env: Environment::new(),
        limit: Duration::from_secs(600),
    }
}

fn app() -> AppRef {
    AppRef { name: AppName::new("blog").expect("it is a valid name"), uid: AppUid(Uuid::new_v4()) }
}

fn name() -> TaskName {
    TaskName::new("one").expect("it is a valid name")
}

/// A task's output comes line by line in the order it was printed, and its end is remembered with its last lines.
pub async fn output_and_end_are_told(s: Subject) {
    let app = app();
    let mut output = s.start(&task(&app, TaskKind::Run, 1, &s.prints)).await;
    let mut lines = Vec::new();
    while let Some(line) = timeout(s.patience, output.recv()).await.expect("the output ends with the task") {
        lines.push(line.text);
    }
    assert_eq!(lines, ["out", "err"]);
    assert_eq!(s.ended(&app, TaskKind::Run).await, (Exit::Code(3), lines));
    assert!(s.is_idle(&app).await);
}

/// The same name and attempt again starts nothing, while it runs and after.
pub async fn the_same_attempt_runs_once(s: Subject) {
    let app = app();
    let task = task(&app, TaskKind::Release, 4, &s.prints);
    let mut first = s.start(&task).await;
    let mut second = s.start(&task).await;
    s.ended(&app, TaskKind::Release).await;
    let mut third = s.start(&task).await;
    assert!(first.recv().await.is_some());
    assert!(second.recv().await.is_none() && third.recv().await.is_none(), "it printed only once");
}

/// An older attempt than one that was started before is stale; that of another kind is not.
pub async fn attempts_fence(s: Subject) {
    let app = app();
    let _output = s.start(&task(&app, TaskKind::Release, 5, &s.prints)).await;
    assert!(s.is_stale(task(&app, TaskKind::Release, 4, &s.prints)).await);
    assert_eq!(s.observe(&app, TaskKind::Release).await.fence, Attempt(5));
    let _output = s.start(&task(&app, TaskKind::Build, 1, &s.prints)).await;
    s.ended(&app, TaskKind::Build).await;
    s.ended(&app, TaskKind::Release).await;
}

/// Stopping ends older attempts and makes later starts of them stale, also where nothing ran.
pub async fn stopping_fences(s: Subject) {
    let app = app();
    s.stop(&app, StopScope::Kind(TaskKind::Release), 3).await;
    assert!(s.is_stale(task(&app, TaskKind::Release, 2, &s.lasts)).await);
    let _output = s.start(&task(&app, TaskKind::Release, 3, &s.lasts)).await;
    s.stop(&app, StopScope::Kind(TaskKind::Release), 3).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(s.observe(&app, TaskKind::Release).await.state, TaskState::Running, "it is not older");
    s.stop(&app, StopScope::Kind(TaskKind::Release), 4).await;
    let (exit, _) = s.ended(&app, TaskKind::Release).await;
    assert_ne!(exit, Exit::Code(0));
    let seen = s.observe(&app, TaskKind::Release).await;
    assert_eq!((seen.fence, seen.older_running), (Attempt(4), false));
}

/// Until an older attempt has ended, that is seen.
pub async fn an_older_attempt_that_runs_is_seen(s: Subject) {
    let app = app();
    let mut old = task(&app, TaskKind::Release, 1, &s.lasts);
    old.name = TaskName::new("older").expect("it is a valid name");
    let _output = s.start(&old).await;
    let _output = s.start(&task(&app, TaskKind::Release, 2, &s.prints)).await;
    assert!(s.observe(&app, TaskKind::Release).await.older_running);
    s.ended(&app, TaskKind::Release).await;
    s.stop(&app, StopScope::Kind(TaskKind::Release), 2).await;
    until(s.patience, "the older task ends", || async { s.is_idle(&app).await.then_some(()) }).await;
    assert!(!s.observe(&app, TaskKind::Release).await.older_running);
}

/// Stopping everything ends tasks of all kinds and refuses all later ones.
pub async fn stopping_everything_is_final(s: Subject) {
    let app = app();
    let _run = s.start(&task(&app, TaskKind::Run, 1, &s.lasts)).await;
    let _build = s.start(&task(&app, TaskKind::Build, 9, &s.lasts)).await;
    assert!(!s.is_idle(&app).await);
    s.stop(&app, StopScope::All, u64::MAX).await;
    until(s.patience, "all tasks end", || async { s.is_idle(&app).await.then_some(()) }).await;
    for kind in [TaskKind::Run, TaskKind::Build, TaskKind::Release] {
        assert!(s.is_stale(task(&app, kind, 100, &s.prints)).await);
    }
}

/// A task that runs longer than it may is ended whole.
pub async fn the_limit_ends_a_task(s: Subject) {
    let app = app();
    let mut task = task(&app, TaskKind::Build, 1, &s.lasts);
    task.limit = Duration::from_millis(200);
    let _output = s.start(&task).await;
    assert_eq!(s.ended(&app, TaskKind::Build).await.0, Exit::TimedOut);
}

/// A receiver that stalls holds up the printing, not the limit.
pub async fn a_stalled_receiver_does_not_hold_up_the_limit(s: Subject) {
    let app = app();
    let mut task = task(&app, TaskKind::Run, 1, &s.floods);
    task.limit = Duration::from_millis(300);
    let _stalled = s.start(&task).await;
    let (exit, lines) = s.ended(&app, TaskKind::Run).await;
    assert_eq!(exit, Exit::TimedOut);
    assert!(!lines.is_empty());
}

/// A receiver that is gone does not fail the task.
pub async fn a_gone_receiver_does_not_fail_the_task(s: Subject) {
    let app = app();
    drop(s.start(&task(&app, TaskKind::Run, 1, &s.prints)).await);
    assert_eq!(s.ended(&app, TaskKind::Run).await.0, Exit::Code(3));
}

/// Nothing is known of an unknown app, and that is no error.
pub async fn an_unknown_app_is_idle(s: Subject) {
    let app = app();
    assert!(s.is_idle(&app).await);
    let seen = s.observe(&app, TaskKind::Build).await;
    assert_eq!(seen, TaskObservation { fence: Attempt(0), older_running: false, state: TaskState::Unknown });
}

/// Hands the names of all cases of [`conformance::runner`](crate::conformance::runner) to a macro of yours, after
/// whatever else it shall get: what a new task runner forgets to run does not compile out of sight.
///
/// ```
/// macro_rules! count {
///     ($($case:ident)*) => { [$(stringify!($case)),*].len() };
/// }
/// assert_eq!(deis_core::runner_cases!(count;), 10);
/// ```
#[macro_export]
macro_rules! runner_cases {
    ($with:ident; $($own:tt)*) => {
        $with! { $($own)*
            output_and_end_are_told
            the_same_attempt_runs_once
            attempts_fence
            stopping_fences
            an_older_attempt_that_runs_is_seen
            stopping_everything_is_final
            the_limit_ends_a_task
            a_stalled_receiver_does_not_hold_up_the_limit
            a_gone_receiver_does_not_fail_the_task
            an_unknown_app_is_idle
        }
    };
}
