//! Performs the step that the plan named: the effect first, then the commit that records it.

use super::{
    Progress,
    pass::{LoadedRollout, release_task},
};
use crate::{
    error::Result,
    model::{
        Cause, Event, EventKind, Generation, Observation, Phase, Program, ReleaseCommand, Rollout,
        RouteFence, Task, TaskKind, Workload,
    },
    plan::{
        constants::PREPARE_LIMIT,
        formation::is_release_phase,
        lower::{Purpose, Source, environment},
        rollout::{Budget, Step, Which},
        routes,
    },
    port::{ArtifactError, RouterError, SchedulerError, StopScope, StoreError, TaskError},
    service::platform::Platform,
    state::{
        apps::{AppState, Held, domains, replace_workloads},
        events, keys,
        ledger::{AppChange, finish, write_head},
        query::Query,
        record::Edits,
    },
};

impl Platform {
    pub(super) async fn perform(
        &self,
        loaded: LoadedRollout,
        step: Step,
        seen: Observation,
        published: Option<RouteFence>,
    ) -> Result<Progress> {
        match step {
            Step::Wait => Ok(Progress::Waiting),
            Step::Blind => Ok(Progress::Blind),
            Step::Rest => Ok(Progress::Resting),
            Step::Ahead => self.renumber(loaded, &seen, published).await,
            Step::Apply(which) => self.apply(loaded, which).await,
            Step::Publish(which) => self.publish_step(loaded, which).await,
            Step::StopTasks(attempt) => {
                let app = loaded.state.reference();
                match self.0.runner.stop(&app, &StopScope::Kind(TaskKind::Release), attempt).await {
                    Ok(()) | Err(TaskError::Stale { .. }) => Ok(Progress::Stepped),
                    Err(_) => Ok(Progress::Blind),
                }
            }
            Step::Prepare => self.prepare(&loaded).await,
            Step::RecordStart => {
                let mut rollout = loaded.rollout.value.clone();
                rollout.command = ReleaseCommand::Started { by: self.0.process };
                self.record(loaded, rollout).await
            }
            Step::StartCommand => self.start_command(loaded).await,
            Step::Enter(phase) => self.enter(loaded, phase).await,
        }
    }

    async fn apply(&self, loaded: LoadedRollout, which: Which) -> Result<Progress> {
        let workload = match which {
            Which::Target => Some(&loaded.workloads.target),
            Which::Settled => Some(&loaded.workloads.settled),
            Which::Fallback => Some(&loaded.workloads.fallback),
            Which::Live => loaded.live.as_ref(),
        };
        let Some(workload) = workload else { return Ok(Progress::Waiting) };
        match self.0.scheduler.apply(workload).await {
            // Stale: somebody with a newer view was faster; read again.
            Ok(()) | Err(SchedulerError::Stale { .. }) => Ok(Progress::Stepped),
            Err(SchedulerError::Unavailable(_)) => Ok(Progress::Blind),
            Err(SchedulerError::Rejected { cause }) => match &loaded.rollout.value.phase {
                Phase::Rolling => self.enter(loaded, Phase::Reverting { cause }).await,
                Phase::Reverting { cause: why } => {
                    let phase = Phase::Failed { cause: why.clone(), fallback_unhealthy: true };
                    self.enter(loaded, phase).await
                }
                _ => self.note_refusal(&loaded, which, cause.to_string()).await,
            },
        }
    }

    /// What was live before is refused: people are told once, and the rest of the table goes on.
    async fn note_refusal(&self, loaded: &LoadedRollout, which: Which, reason: String) -> Result<Progress> {
        let generation = which.generation(&loaded.rollout.value);
        if self.remember(loaded.state.name(), |volatile| volatile.refused(generation)) {
            let mut edits = Edits::new();
            edits.guard(keys::head(loaded.state.name()), loaded.state.head.revision);
            loaded.state.event(&mut edits, self.now(), None, EventKind::WorkloadRefused { reason });
            match edits.commit(self.store()).await {
                Ok(_) => self.announce(),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Progress::Stepped)
    }

    async fn publish_step(&self, loaded: LoadedRollout, which: Which) -> Result<Progress> {
        let empty;
        let workload = match which {
            // Retiring groups get no requests any more: they leave with the next generation.
            Which::Target | Which::Settled => &loaded.workloads.settled,
            Which::Fallback => &loaded.workloads.fallback,
            Which::Live => {
                empty = Workload::empty(loaded.state.reference(), loaded.rollout.value.live_generation);
                loaded.live.as_ref().unwrap_or(&empty)
            }
        };
        self.publish(&loaded.state, workload, which.generation(&loaded.rollout.value)).await
    }

    /// Gives the router the routes to a workload.
    pub(super) async fn publish(
        &self,
        state: &AppState,
        workload: &Workload,
        generation: Generation,
    ) -> Result<Progress> {
        let names = domains(self.store(), state.name()).await?;
        let names = names.into_iter().map(|d| d.value.name).collect();
        let fence = RouteFence { routes: state.head.value.routes, generation };
        let wanted = routes::routes(workload, fence, names);
        match self.0.router.publish(&wanted).await {
            Ok(refused) => {
                if !refused.is_empty() {
                    self.record_refused(state, refused).await?;
                }
                Ok(Progress::Stepped)
            }
            Err(RouterError::Stale { .. }) => Ok(Progress::Stepped),
            Err(RouterError::Unavailable(_)) => Ok(Progress::Blind),
        }
    }

    async fn record_refused(
        &self,
        state: &AppState,
        refused: Vec<(crate::model::DomainName, String)>,
    ) -> Result<()> {
        let mut edits = Edits::new();
        edits.guard(keys::head(state.name()), state.head.revision);
        for (domain, reason) in refused {
            let kind = EventKind::DomainRefused { domain, reason };
            events::append(
                &mut edits,
                &Event { at: self.now(), by: None, app: Some(state.name().clone()), kind },
            );
        }
        match edits.commit(self.store()).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn prepare(&self, loaded: &LoadedRollout) -> Result<Progress> {
        let release = self.target(loaded).await?;
        let Some(build) = release.and_then(|r| r.build) else { return Ok(Progress::Waiting) };
        let artifact = build.spec.artifact;
        let prepare = (self.0.preparer)(loaded.state.reference(), artifact.clone());
        let prepared = tokio::time::timeout(PREPARE_LIMIT, prepare).await;
        let result = prepared.unwrap_or_else(|late| Err(ArtifactError::Unavailable(Box::new(late))));
        self.remember(loaded.state.name(), |volatile| match result {
            Ok(lease) => {
                volatile.artifact_ready(artifact.digest().clone(), lease);
                Ok(Progress::Stepped)
            }
            Err(ArtifactError::Definitive { reason }) => {
                volatile.artifact_lost(reason);
                Ok(Progress::Stepped)
            }
            Err(ArtifactError::Unavailable(_)) => Ok(Progress::Waiting),
        })
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
            (environment(source, Purpose::ReleaseCommand), self.0.options.release_command_limit);
        let program = Program::Launch { artifact: build.spec.artifact.clone(), command: command.clone() };
        let task = Task {
            attempt: rollout.attempt,
            release: Some(release.version),
            env,
            ..Task::new(app, TaskKind::Release, release_task(rollout), program, limit)
        };
        match self.0.runner.start(&task).await {
            Ok(()) => {
                self.0.outputs.follow(&task);
                Ok(Progress::Stepped)
            }
            Err(TaskError::Stale { .. }) => Ok(Progress::Stepped),
            Err(TaskError::Rejected { reason }) => {
                let cause = Cause::Rejected { reason: format!("the release command: {reason}") };
                self.enter(loaded, Phase::Reverting { cause }).await
            }
            Err(TaskError::Unknown | TaskError::Busy | TaskError::Unavailable(_)) => Ok(Progress::Blind),
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
        // Volatile time follows the record, so that a lost commit, or another's, restarts no clock.
        let same_budget = Budget::of(&rollout) == Budget::of(&loaded.rollout.value);
        rollout.spent_ms = if same_budget { self.remember(state.name(), |v| v.spent_ms()) } else { 0 };
        rollout.stalled_ms = self.remember(state.name(), |v| v.stalled_ms());
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
                    self.remember(state.name(), |v| v.saved(&rollout));
                }
                self.announce();
                Ok(Progress::Stepped)
            }
            // Somebody was faster: read again.
            Err(StoreError::Conflict { .. }) => Ok(Progress::Stepped),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn save_spent(&self, loaded: &LoadedRollout) -> Result<Progress> {
        let mut rollout = loaded.rollout.value.clone();
        (rollout.spent_ms, rollout.stalled_ms) =
            self.remember(loaded.state.name(), |v| (v.spent_ms(), v.stalled_ms()));
        let mut edits = Edits::new();
        edits.guard(keys::head(loaded.state.name()), loaded.state.head.revision);
        edits.replace(keys::rollout(loaded.state.name()), loaded.rollout.revision, &rollout);
        match edits.commit(self.store()).await {
            Ok(_) => self.remember(loaded.state.name(), |v| v.saved(&rollout)),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Progress::Waiting)
    }

    /// A back end has seen a newer generation than the store knows. Either another process has just begun a
    /// rollout – then reading again shows it – or the store is an old copy: then all numbers move above what was seen.
    async fn renumber(
        &self,
        loaded: LoadedRollout,
        seen: &Observation,
        published: Option<RouteFence>,
    ) -> Result<Progress> {
        let app = loaded.state.name().clone();
        let mut query = Query::new();
        let (slots, held) = (AppState::ask(&mut query, &app), Held::ask(&mut query, &app));
        let answers = query.read(self.store()).await?;
        let Some(mut state) = AppState::take(&answers, slots)? else { return Ok(Progress::Gone) };
        let held = Held::take(&answers, held)?;
        let same_head = state.head.revision == loaded.state.head.revision;
        if !same_head || state.rollout.as_ref().map(|r| r.revision) != Some(loaded.rollout.revision) {
            return Ok(Progress::Stepped);
        }
        let mut rollout = loaded.rollout.value.clone();
        let g = rollout.generation.max(seen.generation).plus(1).max(rollout.generation.plus(3));
        if g == Generation::MAX || seen.generation == Generation::MAX {
            tracing::error!(%app, "a back end refuses this app for good; destroy it and create it anew");
            return Ok(Progress::Resting);
        }
        let mut all = loaded.workloads.clone();
        (all.target.generation, all.settled.generation, all.fallback.generation) = (g, g.plus(1), g.plus(2));
        let routes = published
            .map_or(state.head.value.routes, |f| state.head.value.routes.max(f.routes.saturating_add(1)));
        rollout.generation = g;
        if rollout.phase == Phase::Routing {
            rollout.phase = Phase::Rolling;
        }
        state.head.value.generation = g;
        state.head.value.routes = routes;
        let mut edits = Edits::new();
        replace_workloads(&mut edits, &app, &held.workloads, &all, rollout.live_generation);
        edits.replace(keys::rollout(&app), loaded.rollout.revision, &rollout);
        let change = AppChange { rollout: Some(&rollout), ..AppChange::default() };
        write_head(&mut edits, &mut state, self.now(), change);
        match edits.commit(self.store()).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(Progress::Stepped),
            Err(error) => Err(error.into()),
        }
    }
}
