//! Build runs: list, one, how they end.

use super::handle::{AppHandle, change};
use crate::{
    error::{Error, Kind, Result},
    model::{Attempt, BuildId, BuildRun, BuildRunState, Push, PushOutcome, TaskKind},
    port::{Order, Scan, StopScope, Store},
    service::page::{Page, PageQuery},
    state::{
        apps::AppState,
        keys,
        record::{Edits, Stored, get},
    },
};

/// So many runs of an app are kept.
pub const BUILD_RUNS_KEPT: u64 = 50;
/// Longest cause that is kept, in bytes: what a builder says of its failure may be much longer.
const MAX_CAUSE: usize = 4096;

impl AppHandle {
    /// The app's build runs, newest first: the newest [`BUILD_RUNS_KEPT`], failed ones too.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the app is gone.
    pub async fn build_runs(&self, page: PageQuery) -> Result<Page<BuildRun>> {
        let below = Scan::prefix(keys::below("build-run", self.name())).order(Order::NEWEST_FIRST);
        let scan = page.part_of(below);
        let (state, answers, runs) = self.state_with(|query| query.scan::<BuildRun>(scan)).await?;
        let items = answers.many(runs)?.into_iter().map(|(_, run)| run.value).collect();
        let total = state.head.value.attempts.min(BUILD_RUNS_KEPT);
        Ok(Page { items, total: usize::try_from(total).unwrap_or(usize::MAX) })
    }

    /// One build run.
    ///
    /// # Errors
    /// [`Error::NotFound`] for one that never was or is no longer kept.
    pub async fn build_run(&self, attempt: Attempt) -> Result<BuildRun> {
        let key = keys::build_run(self.name(), attempt);
        let (_, answers, run) = self.state_with(|query| query.get::<BuildRun>(key)).await?;
        Ok(answers.one(run)?.ok_or_else(|| not_found(attempt))?.value)
    }

    /// Says that a run gave no release, and why. One that has ended already stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`] for one that never was or is no longer kept.
    pub async fn build_run_failed(&self, attempt: Attempt, cause: &str) -> Result<BuildRun> {
        self.end_run(attempt, BuildRunState::Failed, cause).await
    }

    /// Ends a run that has not ended: what is built is thrown away, and the push that it belongs to fails. Returns once
    /// that is on record; the task ends soon after.
    ///
    /// # Errors
    /// [`Error::Conflict`] for one that has ended.
    pub async fn build_run_cancel(&self, attempt: Attempt) -> Result<BuildRun> {
        let cause = format!("cancelled by {}", self.actor.name());
        let run = self.end_run(attempt, BuildRunState::Cancelled, &cause).await?;
        if run.state != BuildRunState::Cancelled {
            let reason = format!("build {attempt} has ended already: it {}", run.state.word());
            return Err(Error::Conflict { reason });
        }
        // Later starts of it are refused, too: its source may still be being written.
        let (scope, next) = (StopScope::Kind(TaskKind::Build), Attempt(attempt.0.saturating_add(1)));
        self.platform.0.runner.stop(&self.app.reference(), &scope, next).await?;
        Ok(run)
    }

    async fn end_run(&self, attempt: Attempt, state: BuildRunState, cause: &str) -> Result<BuildRun> {
        change!(self, |app, edits| {
            let run = load(self.platform.store(), self, attempt).await?.ok_or_else(|| not_found(attempt))?;
            if run.value.state.is_final() {
                return Ok(run.value);
            }
            edits.guard(keys::head(self.name()), app.head.revision);
            self.write_ended(&mut edits, run, state, None, Some(cause.to_owned()))
        })
    }

    /// Opens a run in the batch that opens a push; the caller writes the head.
    pub(super) async fn open_run(
        &self,
        state: &mut AppState,
        edits: &mut Edits,
        push: &Push,
    ) -> Result<Attempt> {
        state.head.value.attempts += 1;
        let attempt = Attempt(state.head.value.attempts);
        let run = BuildRun {
            attempt,
            sha: push.sha.clone(),
            by: push.by.clone(),
            since: push.since,
            state: BuildRunState::Running,
            ended: None,
            build: None,
            cause: None,
        };
        edits.create(keys::build_run(self.name(), attempt), &run);
        if let Some(oldest) = attempt.0.checked_sub(BUILD_RUNS_KEPT).filter(|oldest| *oldest > 0).map(Attempt)
            && let Some(old) = load(self.platform.store(), self, oldest).await?
        {
            edits.delete(keys::build_run(self.name(), oldest), old.revision);
        }
        Ok(attempt)
    }

    /// Says in the batch that records a build that its run succeeded.
    pub(super) async fn run_succeeded(
        &self,
        edits: &mut Edits,
        attempt: Attempt,
        build: BuildId,
    ) -> Result<()> {
        let run = load(self.platform.store(), self, attempt).await?.ok_or_else(|| not_found(attempt))?;
        if run.value.state.is_final() {
            return Err(Error::Conflict { reason: run.value.reason() });
        }
        self.write_ended(edits, run, BuildRunState::Succeeded, Some(build), None);
        Ok(())
    }

    /// Says in the batch that closes a push how its run ended, if nobody has.
    pub(super) async fn run_abandoned(
        &self,
        edits: &mut Edits,
        push: &Push,
        outcome: &PushOutcome,
    ) -> Result<()> {
        let Some(attempt) = push.build_run else { return Ok(()) };
        let run = load(self.platform.store(), self, attempt).await?;
        if let Some(run) = run.filter(|run| !run.value.state.is_final()) {
            let state = match outcome {
                PushOutcome::Interrupted { .. } | PushOutcome::Replaced { .. } => BuildRunState::Interrupted,
                _ => BuildRunState::Failed,
            };
            self.write_ended(edits, run, state, None, Some(outcome.to_string()));
        }
        Ok(())
    }

    fn write_ended(
        &self,
        edits: &mut Edits,
        run: Stored<BuildRun>,
        state: BuildRunState,
        build: Option<BuildId>,
        cause: Option<String>,
    ) -> BuildRun {
        let ended = Some(self.platform.now());
        let cause = cause.map(shortened);
        let value = BuildRun { state, ended, build, cause, ..run.value };
        edits.replace(keys::build_run(self.name(), value.attempt), run.revision, &value);
        value
    }
}

async fn load(store: &dyn Store, app: &AppHandle, attempt: Attempt) -> Result<Option<Stored<BuildRun>>> {
    Ok(get(store, &keys::build_run(app.name(), attempt)).await?)
}

fn shortened(mut cause: String) -> String {
    let end = (0..=cause.len().min(MAX_CAUSE)).rev().find(|end| cause.is_char_boundary(*end));
    cause.truncate(end.unwrap_or_default());
    cause
}

fn not_found(attempt: Attempt) -> Error {
    Error::NotFound { what: Kind::Build, name: attempt.to_string() }
}
