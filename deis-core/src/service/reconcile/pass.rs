//! One pass: load, look, decide, do one thing.

use std::time::Duration;

use super::{ActiveTime, Progress, Volatile};
use crate::{
    error::Result,
    model::{
        AppName, AppStatus, Digest, Generation, Observation, Phase, Rollout, RouteFence, TaskKind, TaskName,
        TaskObservation, TaskRef, TaskState, Workload,
    },
    plan::{
        constants::SAVE_SPENT,
        lower::Workloads,
        progress::progress,
        rollout::{ArtifactState, Budget, Step, View, next_step, stall_of},
    },
    port::RouterError,
    service::platform::Platform,
    state::{
        apps::{AppState, Held, LoadedRelease, load_referred, load_release},
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

impl Platform {
    /// Does the next step for `app`, exactly one, and spawns nothing.
    ///
    /// Takes no input but the state: it can be called at any time, by several processes at once, and be dropped at
    /// any point.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the store cannot be reached, or a record cannot be read. The next pass goes on from what is on record.
    pub async fn pass(&self, app: &AppName) -> Result<Progress> {
        let progress = self.one_step(app).await;
        if !matches!(progress, Ok(Progress::Stepped | Progress::Waiting)) {
            self.stand_still(app);
        }
        progress
    }

    async fn one_step(&self, app: &AppName) -> Result<Progress> {
        // An app that never had a rollout is told by single records, which a store has at hand more often than ranges.
        let had_rollout = self.remember(app, |volatile| volatile.generation > Generation(0));
        if !had_rollout
            && let Some(state) = AppState::load(self.store(), app).await?
            && state.rollout.is_none()
            && state.head.value.state == AppStatus::Active
        {
            return self.idle_step(&state).await;
        }
        let mut query = Query::new();
        let (slots, held) = (AppState::ask(&mut query, app), Held::ask(&mut query, app));
        let answers = query.read(self.store()).await?;
        let Some(state) = AppState::take(&answers, slots)? else {
            self.forget(app);
            return Ok(Progress::Gone);
        };
        if state.head.value.state == AppStatus::Destroying {
            return self.destroy_step(state).await;
        }
        let Some(rollout) = state.rollout.clone() else { return self.idle_step(&state).await };
        let held = Held::take(&answers, held)?;
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
        let scheduler = self.0.scheduler.observe(&app).await.ok();
        let router = self.0.router.published(&app).await.ok();
        let task = self.task_of(&loaded).await;
        let (clock, failed, ready, refused) = self.remember(&app.name, |volatile| {
            volatile.follow(rollout);
            let ready = digest.is_none() || volatile.artifact.as_ref().map(|(d, _)| d) == digest.as_ref();
            let stall = scheduler.as_ref().and_then(|seen| stall_of(rollout, seen, volatile.clock.stalled));
            volatile.clock.tick(stall.is_some());
            (volatile.clock.clone(), volatile.artifact_failed.clone(), ready, volatile.refused)
        });
        let artifact = match (&failed, ready) {
            (Some(reason), _) => ArtifactState::Failed(reason),
            (None, true) => ArtifactState::Ready,
            (None, false) => ArtifactState::Unknown,
        };
        let step = next_step(&View {
            rollout,
            workloads: &loaded.workloads,
            live: loaded.live.as_ref(),
            routes: loaded.state.head.value.routes,
            scheduler: scheduler.as_ref(),
            router,
            task: task.as_ref(),
            artifact,
            process: self.0.process,
            spent: clock.spent,
            stalled: clock.stalled,
            command_limit: self.0.options.release_command_limit,
            refused,
        });
        self.report(&loaded, scheduler.as_ref());
        match step {
            Step::Wait => self.wait_step(&loaded).await,
            Step::Blind => Ok(Progress::Blind),
            Step::Rest => {
                // The next look asks a scheduler that refused once more.
                self.remember(&app.name, |volatile| volatile.refused = None);
                Ok(Progress::Resting)
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
        match self.0.router.published(&empty.app).await {
            Ok(Some(fence)) if fence >= wanted => Ok(Progress::Resting),
            Ok(_) => self.publish(state, &empty, Generation(0)).await,
            Err(RouterError::Stale { .. } | RouterError::Unavailable(_)) => Ok(Progress::Blind),
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
        self.0.runner.observe(&task).await.ok()
    }

    async fn artifact_digest(&self, loaded: &mut LoadedRollout) -> Result<Option<Digest>> {
        if loaded.rollout.value.phase != Phase::Staging {
            return Ok(None);
        }
        if let Some(group) = loaded.workloads.settled.groups.values().next() {
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
        let due = self.remember(loaded.state.name(), |v| v.clock.unsaved() >= SAVE_SPENT);
        if due {
            return self.save_spent(loaded).await;
        }
        Ok(Progress::Waiting)
    }

    /// Wakes whoever waits when there is something new to say of the rollout.
    fn report(&self, loaded: &LoadedRollout, seen: Option<&Observation>) {
        let now = progress(&loaded.rollout.value, &loaded.workloads.settled, seen);
        let changed = self.remember(loaded.state.name(), |v| {
            let differs = v.progress != now;
            v.progress = now;
            differs
        });
        if changed {
            self.announce();
        }
    }
}

impl Volatile {
    /// Begins anew when another rollout, or another phase with a clock of its own, has begun.
    pub(super) fn follow(&mut self, rollout: &Rollout) {
        if rollout.phase.is_terminal() {
            self.artifact = None;
        }
        if self.generation != rollout.generation {
            let progress = std::mem::take(&mut self.progress);
            *self = Self { progress, generation: rollout.generation, ..Self::default() };
        } else if self.budget == Budget::of(rollout) {
            return;
        }
        self.budget = Budget::of(rollout);
        self.clock = ActiveTime::start(
            Duration::from_millis(rollout.spent_ms),
            Duration::from_millis(rollout.stalled_ms),
        );
    }

    /// The scheduler refuses this generation; whether that is news.
    pub(super) fn refused(&mut self, generation: Generation) -> bool {
        self.refused = Some(generation);
        self.refusal_told.replace(generation) != Some(generation)
    }

    /// The clock does not count until the next pass.
    pub(in crate::service) fn stand_still(&mut self) {
        self.clock.stand_still();
    }

    /// These times are in the record now.
    pub(super) fn saved(&mut self, rollout: &Rollout) {
        self.clock.saved = Duration::from_millis(rollout.spent_ms.saturating_add(rollout.stalled_ms));
    }

    /// Time spent so far, in milliseconds.
    pub(super) fn spent_ms(&self) -> u64 {
        milliseconds(self.clock.spent)
    }

    /// Time for which the clock has stood still because of a stall, in milliseconds.
    pub(super) fn stalled_ms(&self) -> u64 {
        milliseconds(self.clock.stalled)
    }

    pub(super) fn artifact_ready(&mut self, digest: Digest, lease: crate::port::Prepared) {
        self.artifact = Some((digest, lease));
        self.artifact_failed = None;
    }

    pub(super) fn artifact_lost(&mut self, reason: String) {
        self.artifact_failed = Some(reason);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Name of the task that runs a rollout's release command.
pub(super) fn release_task(rollout: &Rollout) -> TaskName {
    TaskName::new(format!("release-v{}", rollout.target.0))
        .expect("a word and a number are a valid task name")
}
