//! Performs the step that the plan named: the effect first, then the commit that records it.

use super::{
    Progress,
    pass::{LoadedRollout, release_task},
    reconciler::Reconciler,
};
use crate::{
    error::Result,
    model::{
        Cause, EventKind, Observation, Phase, Program, ReleaseCommand, Rollout, RouteFence, Task, TaskKind,
    },
    plan::{
        formation::is_release_phase,
        lower::{Purpose, Source, environment},
        rollout::{Budget, Step, WorkloadRole},
    },
    port::{SchedulerError, StopScope, StoreError, TaskError},
    state::{
        keys,
        ledger::{AppChange, finish, write_head},
        record::Edits,
    },
};

impl Reconciler {
    pub(super) async fn perform(
        &self,
        loaded: LoadedRollout,
        step: Step,
        seen: Observation,
        published: Option<RouteFence>,
    ) -> Result<Progress> {
        match step {
            Step::Wait => Ok(Progress::Waiting),
            Step::BackendUnavailable => Ok(Progress::BackendUnavailable),
            Step::Idle => Ok(Progress::Idle),
            Step::ReloadOrRenumber => self.reload_or_renumber(loaded, &seen, published).await,
            Step::Apply(role) => self.apply(loaded, role).await,
            Step::Publish(role) => self.publish_step(loaded, role).await,
            Step::StopTasks(attempt) => {
                let app = loaded.state.reference();
                match self.parts().runner.stop(&app, &StopScope::Kind(TaskKind::Release), attempt).await {
                    Ok(()) => Ok(Progress::Advanced),
                    Err(_) => Ok(Progress::BackendUnavailable),
                }
            }
            Step::Prepare => self.prepare(&loaded).await,
            Step::RecordStart => {
                let mut rollout = loaded.rollout.value.clone();
                rollout.command = ReleaseCommand::Started { by: self.platform.0.process };
                self.record(loaded, rollout).await
            }
            Step::StartCommand => self.start_command(loaded).await,
            Step::Enter(phase) => self.enter(loaded, phase).await,
        }
    }

    async fn apply(&self, loaded: LoadedRollout, role: WorkloadRole) -> Result<Progress> {
        let workload = match role {
            WorkloadRole::Target => Some(&loaded.workloads.target),
            WorkloadRole::TargetOnly => Some(&loaded.workloads.target_only),
            WorkloadRole::Fallback => Some(&loaded.workloads.fallback),
            WorkloadRole::Live => loaded.live.as_ref(),
        };
        let Some(workload) = workload else { return Ok(Progress::Waiting) };
        match self.parts().scheduler.apply(workload).await {
            Ok(()) => Ok(Progress::Advanced),
            // Stale: somebody with a newer view was faster, and reading again shows it. But a scheduler may refuse by what
            // it has and answer from what it saw a moment ago: asked again at once, it would be asked without end.
            Err(SchedulerError::Stale { .. } | SchedulerError::Unavailable(_)) => {
                Ok(Progress::BackendUnavailable)
            }
            Err(SchedulerError::Rejected { cause }) => match &loaded.rollout.value.phase {
                Phase::Rolling => self.enter(loaded, Phase::Reverting { cause }).await,
                Phase::Reverting { cause: why } => {
                    let phase = Phase::Failed { cause: why.clone(), fallback_unhealthy: true };
                    self.enter(loaded, phase).await
                }
                _ => self.note_refusal(&loaded, role, cause.to_string()).await,
            },
        }
    }

    /// What was live before is refused: people are told once, and the rest of the table goes on.
    async fn note_refusal(
        &self,
        loaded: &LoadedRollout,
        role: WorkloadRole,
        reason: String,
    ) -> Result<Progress> {
        let generation = role.generation(&loaded.rollout.value);
        if self.memory().with_state(loaded.state.name(), |kept| kept.refuse(generation)) {
            let mut edits = Edits::new();
            edits.guard(keys::head(loaded.state.name()), loaded.state.head.revision);
            loaded.state.event(&mut edits, self.now(), None, EventKind::WorkloadRefused { reason });
            match edits.commit(self.store()).await {
                Ok(_) => self.wake_waiters(),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Progress::Advanced)
    }

    async fn start_command(&self, loaded: LoadedRollout) -> Result<Progress> {
        let rollout = &loaded.rollout.value;
        let app = loaded.state.reference();
        let release = self.target(&loaded).await?;
        let Some((release, build, config)) = release.and_then(|r| Some((r.release, r.build?, r.config)))
        else {
            return Ok(Progress::Waiting);
        };
        let Some((_, command)) = build.spec.processes.iter().find(|(p, _)| is_release_phase(p)) else {
            return Ok(Progress::Waiting);
        };
        let source = Source { app: &app, release: &release, build: &build, config: &config };
        let (env, limit) =
            (environment(source, Purpose::ReleaseCommand), self.parts().options.release_command_limit);
        let program = Program::Launch { artifact: build.spec.artifact.clone(), command: command.clone() };
        let task = Task {
            attempt: rollout.attempt,
            release: Some(release.version),
            env,
            ..Task::new(app, TaskKind::Release, release_task(rollout), program, limit)
        };
        match self.parts().runner.start(&task).await {
            Ok(()) => {
                self.follow_command(&loaded);
                Ok(Progress::Advanced)
            }
            Err(TaskError::Rejected { reason }) => {
                let cause = Cause::Rejected { reason: format!("the release command: {reason}") };
                self.enter(loaded, Phase::Reverting { cause }).await
            }
            // Stale among them: the runner shows in a moment what it was refused for.
            Err(_) => Ok(Progress::BackendUnavailable),
        }
    }

    /// Records a phase; the last ones with everything that ends with them.
    async fn enter(&self, loaded: LoadedRollout, phase: Phase) -> Result<Progress> {
        let mut rollout = loaded.rollout.value.clone();
        if rollout.phase == Phase::Staging && phase == Phase::Rolling {
            // It is done with: whoever takes the same release through Staging again must not ask for it.
            rollout.command = ReleaseCommand::None;
        }
        rollout.phase = phase;
        self.record(loaded, rollout).await
    }

    /// Writes the rollout over the one that was loaded.
    async fn record(&self, loaded: LoadedRollout, mut rollout: Rollout) -> Result<Progress> {
        let mut state = loaded.state;
        let mut edits = Edits::new();
        let now = self.now();
        // The time in memory follows the record, so that a lost commit, or another's, restarts no clock.
        let same_budget = Budget::of(&rollout) == Budget::of(&loaded.rollout.value);
        let clock = self.memory().with_state(state.name(), |kept| kept.clock().clone());
        rollout.spent_ms = if same_budget { clock.spent_ms() } else { 0 };
        rollout.stalled_ms = clock.stalled_ms();
        if rollout.phase != loaded.rollout.value.phase {
            let phase =
                EventKind::RolloutPhase { version: rollout.target, phase: rollout.phase.name().to_owned() };
            state.event(&mut edits, now, None, phase);
        }
        if rollout.phase.is_terminal() {
            finish(&mut edits, &mut state, &rollout, now);
            let change = AppChange { rollout: Some(&rollout), ..AppChange::default() };
            write_head(&mut edits, &mut state, now, change);
        } else {
            edits.guard(keys::head(state.name()), state.head.revision);
            if matches!(rollout.phase, Phase::Reverting { .. }) {
                // The release that is on its way is not the one that lists show any more.
                state.write_app(&mut edits, Some(&rollout), None, None);
            }
        }
        edits.replace(keys::rollout(state.name()), loaded.rollout.revision, &rollout);
        match edits.commit(self.store()).await {
            Ok(_) => {
                if same_budget {
                    self.memory().with_state(state.name(), |kept| kept.saved(&rollout));
                }
                self.wake_waiters();
                Ok(Progress::Advanced)
            }
            // Somebody was faster: read again.
            Err(StoreError::Conflict { .. }) => Ok(Progress::Advanced),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn save_spent(&self, loaded: &LoadedRollout) -> Result<Progress> {
        let mut rollout = loaded.rollout.value.clone();
        let clock = self.memory().with_state(loaded.state.name(), |kept| kept.clock().clone());
        (rollout.spent_ms, rollout.stalled_ms) = (clock.spent_ms(), clock.stalled_ms());
        let mut edits = Edits::new();
        edits.guard(keys::head(loaded.state.name()), loaded.state.head.revision);
        edits.replace(keys::rollout(loaded.state.name()), loaded.rollout.revision, &rollout);
        match edits.commit(self.store()).await {
            Ok(_) => self.memory().with_state(loaded.state.name(), |kept| kept.saved(&rollout)),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Progress::Waiting)
    }
}
