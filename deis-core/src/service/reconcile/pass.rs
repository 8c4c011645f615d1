//! One pass: load, look, decide, do one thing.

use super::{Progress, memory::InMemoryState, reconciler::Reconciler};
use crate::{
    error::Result,
    model::{
        AppName, AppStatus, Digest, Generation, Observation, Phase, ReleaseCommand, Rollout, RouteFence,
        TaskKind, TaskName, TaskObservation, TaskRef, TaskState, Workload,
    },
    plan::{
        constants::SAVE_SPENT,
        lower::Workloads,
        progress::progress,
        rollout::{ArtifactState, RolloutInputs, Step, next_step, stall_of},
    },
    port::RouterError,
    state::{
        apps::{AppState, HeldWorkloads, LoadedRelease, load_referred, load_release},
        query::Query,
        record::Stored,
    },
};

/// What a pass has loaded.
#[derive(Clone)]
pub(super) struct LoadedRollout {
    pub(super) state: AppState,
    pub(super) rollout: Stored<Rollout>,
    pub(super) workloads: Workloads,
    pub(super) live: Option<Workload>,
    /// The target, where the pass had to read it.
    pub(super) target: Option<LoadedRelease>,
}

impl Reconciler {
    pub(super) async fn pass(&self, app: &AppName) -> Result<Progress> {
        let progress = self.one_step(app).await;
        if !matches!(progress, Ok(Progress::Advanced | Progress::Waiting)) {
            self.memory().stand_still(app);
        }
        progress
    }

    async fn one_step(&self, app: &AppName) -> Result<Progress> {
        // An app that never had a rollout is told by single records, which a store has at hand more often than ranges.
        let had_rollout = self.memory().with_state(app, |kept| kept.had_rollout());
        if !had_rollout
            && let Some(state) = AppState::load(self.store(), app).await?
            && state.rollout.is_none()
            && state.head.value.state == AppStatus::Active
        {
            return self.idle_step(&state).await;
        }
        let mut query = Query::new();
        let (slots, held) = (AppState::ask(&mut query, app), HeldWorkloads::ask(&mut query, app));
        let answers = query.read(self.store()).await?;
        let Some(state) = AppState::take(&answers, slots)? else {
            self.memory().forget(app);
            return Ok(Progress::AppGone);
        };
        if state.head.value.state == AppStatus::Destroying {
            return self.destroy_step(state).await;
        }
        let Some(rollout) = state.rollout.clone() else { return self.idle_step(&state).await };
        let held = HeldWorkloads::take(&answers, held)?;
        let loaded = LoadedRollout {
            workloads: held.of_rollout(app, rollout.value.generation)?,
            live: held.workload(rollout.value.live_generation).cloned(),
            state,
            rollout,
            target: None,
        };
        // On the heap: what is loaded stays in the future over many awaits.
        Box::pin(self.rollout_step(loaded)).await
    }

    async fn rollout_step(&self, mut loaded: LoadedRollout) -> Result<Progress> {
        let app = loaded.state.reference();
        let digest = self.artifact_digest(&mut loaded).await?;
        let rollout = &loaded.rollout.value;
        let scheduler = self.parts().scheduler.observe(&app).await.ok();
        let router = self.parts().router.published(&app).await.ok();
        let task = self.task_of(&loaded).await;
        let (clock, failed, ready, refused) = self.memory().with_state(&app.name, |kept| {
            kept.follow(rollout);
            let ready = digest.as_ref().is_none_or(|digest| kept.has_artifact(digest));
            let stall = scheduler.as_ref().and_then(|seen| stall_of(rollout, seen, kept.clock().stalled));
            kept.clock_mut().tick(stall.is_some());
            (kept.clock().clone(), kept.artifact_failure().map(str::to_owned), ready, kept.refused())
        });
        let artifact = match (&failed, ready) {
            (Some(reason), _) => ArtifactState::Failed(reason),
            (None, true) => ArtifactState::Ready,
            (None, false) => ArtifactState::Unknown,
        };
        let step = next_step(&RolloutInputs {
            rollout,
            workloads: &loaded.workloads,
            live: loaded.live.as_ref(),
            routes: loaded.state.head.value.routes,
            scheduler: scheduler.as_ref(),
            router,
            task: task.as_ref(),
            artifact,
            process: self.platform.0.process,
            spent: clock.spent,
            stalled: clock.stalled,
            command_limit: self.parts().options.release_command_limit,
            refused,
        });
        self.report(&loaded, scheduler.as_ref());
        let runs = task.as_ref().is_some_and(|task| task.state.is_active());
        if runs && matches!(loaded.rollout.value.command, ReleaseCommand::Started { .. }) {
            self.follow_command(&loaded);
        }
        if let Some(artifact) = self.missing_lease(&loaded, &step) {
            self.take_lease(&loaded, artifact).await;
            return Ok(Progress::Advanced);
        }
        match step {
            Step::Wait => self.wait_step(&loaded).await,
            Step::BackendUnavailable => Ok(Progress::BackendUnavailable),
            Step::Idle => {
                // The next look asks a scheduler that refused once more.
                self.memory().with_state(&app.name, InMemoryState::ask_again);
                Ok(Progress::Idle)
            }
            other => {
                Box::pin(self.perform(loaded, other, scheduler.unwrap_or_default(), router.flatten())).await
            }
        }
    }

    /// An app without any rollout: only its routes are held.
    async fn idle_step(&self, state: &AppState) -> Result<Progress> {
        let empty = Workload::empty(state.reference(), Generation(0));
        let wanted = RouteFence { routes: state.head.value.routes, generation: Generation(0) };
        match self.parts().router.published(&empty.app).await {
            Ok(Some(fence)) if fence >= wanted => Ok(Progress::Idle),
            Ok(_) => self.publish(state, &empty, Generation(0)).await,
            Err(RouterError::Stale { .. } | RouterError::Unavailable(_)) => Ok(Progress::BackendUnavailable),
        }
    }

    /// What the runner knows of the release command; asked only where the answer matters.
    async fn task_of(&self, loaded: &LoadedRollout) -> Option<TaskObservation> {
        if loaded.rollout.value.phase != Phase::Staging {
            return Some(TaskObservation {
                fence: loaded.rollout.value.attempt,
                older_running: false,
                state: TaskState::Unknown,
            });
        }
        let name = release_task(&loaded.rollout.value);
        let task = TaskRef { app: loaded.state.reference(), kind: TaskKind::Release, name };
        self.parts().runner.observe(&task).await.ok()
    }

    async fn artifact_digest(&self, loaded: &mut LoadedRollout) -> Result<Option<Digest>> {
        if loaded.rollout.value.phase != Phase::Staging {
            return Ok(None);
        }
        if let Some(group) = loaded.workloads.target_only.groups.values().next() {
            return Ok(Some(group.template.launch.artifact.digest().clone()));
        }
        loaded.target = self.target(loaded).await?;
        let build = loaded.target.as_ref().and_then(|r| r.build.as_ref());
        Ok(build.map(|b| b.spec.artifact.digest().clone()))
    }

    /// The release that the rollout leads to.
    pub(super) async fn target(&self, loaded: &LoadedRollout) -> Result<Option<LoadedRelease>> {
        if loaded.target.is_some() {
            return Ok(loaded.target.clone());
        }
        let (app, target) = (loaded.state.name(), loaded.rollout.value.target);
        let current = loaded.state.app.value.summary.current();
        if current.version == target {
            return Ok(load_referred(self.store(), app, current).await?);
        }
        Ok(load_release(self.store(), app, target).await?)
    }

    /// Waiting costs time; what it cost is saved now and then, so that a crash-looping daemon reaches the deadline.
    async fn wait_step(&self, loaded: &LoadedRollout) -> Result<Progress> {
        let due = self.memory().with_state(loaded.state.name(), |kept| kept.clock().unsaved() >= SAVE_SPENT);
        if due {
            return self.save_spent(loaded).await;
        }
        Ok(Progress::Waiting)
    }

    /// Wakes whoever waits when there is something new to say of the rollout.
    fn report(&self, loaded: &LoadedRollout, seen: Option<&Observation>) {
        let now = progress(&loaded.rollout.value, &loaded.workloads.target_only, seen);
        let changed = self.memory().with_state(loaded.state.name(), |kept| kept.tell(now));
        if changed {
            self.wake_waiters();
        }
    }
}

/// Name of the task that runs a rollout's release command.
pub(super) fn release_task(rollout: &Rollout) -> TaskName {
    TaskName::new(format!("release-v{}", rollout.target.0))
        .expect("a word and a number are a valid task name")
}
