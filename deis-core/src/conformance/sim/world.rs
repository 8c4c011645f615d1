//! The state of the simulated back ends.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{app::SimApp, runner::TaskKey, tasks::SimTask};
use crate::model::{
    AppName, AppRoutes, AppUid, Attempt, Instance, ProcessType, RouteFence, TaskKind, TaskName, Template,
    TemplateId,
};

/// Everything that a platform process does not take with it when it dies. Clones share one.
///
/// What a process does is in its command: `crash` never comes up, for `no-room` there is no machine, the image of `pull`
/// takes longer to fetch than a rollout may take, `release-fails` ends with 1, `release-slow` takes its time, all others
/// work.
#[derive(Clone, Debug, Default)]
pub struct World(Arc<Mutex<WorldState>>);

#[derive(Clone, Debug, Default)]
pub(super) struct WorldState {
    pub(super) apps: BTreeMap<AppUid, SimApp>,
    pub(super) removed: Vec<AppUid>,
    pub(super) routes: BTreeMap<AppName, AppRoutes>,
    pub(super) withdrawn: Vec<AppUid>,
    pub(super) tasks: BTreeMap<TaskKey, SimTask>,
    pub(super) stale_tasks: BTreeSet<(AppUid, TaskName)>,
    /// Wakes whoever follows a task, or writes to one.
    pub(super) tasks_changed: Arc<Notify>,
    pub(super) fences: BTreeMap<(AppUid, TaskKind), Attempt>,
    pub(super) runs: Vec<(AppUid, Attempt)>,
    pub(super) templates: BTreeMap<TemplateId, Template>,
    /// Templates whose instances do not come up any more.
    pub(super) spoiled: BTreeSet<TemplateId>,
    pub(super) ticks: u64,
    /// Ticks until the machines of the instances move again; `None` while there was no outage yet.
    pub(super) outage: Option<u32>,
    /// How many instances were lost, and at which tick.
    pub(super) losses: Vec<(u64, usize)>,
    /// Rises with every write and every tick: what is older than a write is told from what is not.
    pub(super) moment: u64,
    /// What the scheduler knew at the ends of the last ticks, oldest first.
    pub(super) past: VecDeque<Snapshot>,
    pub(super) violations: Vec<String>,
    counter: u64,
}

/// How many ticks a cache is behind at most.
pub(super) const MAX_LAG: usize = 3;
/// What a tick stands for; much more while nothing can move. Then twelve of them and the few seconds that a rollout needs are
/// more than its deadline, and still less than what an outage excuses, be it seen three ticks late.
const TICK: Duration = Duration::from_secs(1);
const STALLED_TICK: Duration = Duration::from_millis(9_700);

impl WorldState {
    /// Whether the machines of the instances do not act on anything.
    pub(super) fn is_outage(&self) -> bool {
        self.outage.is_some_and(|left| left > 0)
    }

    /// Keeps what is known now for those who see it late.
    fn keep_snapshot(&mut self) {
        let (apps, is_outage) = (Arc::new(self.apps.clone()), self.is_outage());
        self.past.push_back(Snapshot { moment: self.moment, apps, is_outage });
        while self.past.len() > MAX_LAG {
            self.past.pop_front();
        }
        self.moment += 1;
    }
}

/// What the scheduler knew at the end of a tick.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) moment: u64,
    pub(super) apps: Arc<BTreeMap<AppUid, SimApp>>,
    pub(super) is_outage: bool,
}

impl World {
    /// An empty world.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another world that is as this one is now.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, WorldState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves everything on by one step: an instance comes up, another one goes. Returns whether anything changed.
    pub fn tick(&self) -> bool {
        let mut state = self.state();
        let mut changed = false;
        // Nothing heals in an outage.
        state.ticks += u64::from(!state.is_outage());
        state.keep_snapshot();
        for task in state.tasks.values_mut() {
            changed |= task.tick();
        }
        if changed {
            state.tasks_changed.notify_waiters();
        }
        if let Some(left) = state.outage.filter(|left| *left > 0) {
            state.outage = Some(left - 1);
            return true;
        }
        let mut counter = state.counter;
        let spoiled = state.spoiled.clone();
        for app in state.apps.values_mut() {
            changed |= app.tick(&mut counter, &spoiled);
        }
        state.counter = counter;
        state.apps.retain(|_, app| !app.is_gone());
        changed
    }

    /// How much time the next tick stands for.
    pub fn tick_length(&self) -> Duration {
        let state = self.state();
        let stalled = state.is_outage() || state.apps.values().any(SimApp::is_pulling);
        if stalled { STALLED_TICK } else { TICK }
    }

    /// The platform process ends, and with it its bound tasks; those that are detached go on. Nothing is forgotten.
    pub fn end_process(&self) {
        let mut state = self.state();
        state.tasks.values_mut().for_each(SimTask::starter_ended);
        state.tasks_changed.notify_waiters();
    }

    /// Ready instances of a process type.
    pub fn ready(&self, app: &AppName, process: &ProcessType) -> usize {
        let state = self.state();
        let instances = state.apps.values().filter(|a| a.app.name == *app).flat_map(|a| &a.instances);
        instances.filter(|i| i.process == *process && i.is_ready()).count()
    }

    /// All instances of an app.
    pub fn instances(&self, app: &AppName) -> Vec<Instance> {
        let state = self.state();
        state.apps.values().filter(|a| a.app.name == *app).flat_map(|a| a.instances.clone()).collect()
    }

    /// All instances of an app, each with what was started.
    pub fn running(&self, app: &AppName) -> Vec<(Instance, Template)> {
        let instances = self.instances(app);
        let state = self.state();
        let with_template = |instance: Instance| {
            let template = state.templates.get(&instance.template)?.clone();
            Some((instance, template))
        };
        instances.into_iter().filter_map(with_template).collect()
    }

    /// The routes of an app.
    pub fn routes(&self, app: &AppName) -> Option<AppRoutes> {
        self.state().routes.get(app).cloned()
    }

    /// Fence of the routes of an app.
    pub fn fence(&self, app: &AppName) -> Option<RouteFence> {
        self.state().routes.get(app).map(|r| r.fence)
    }

    /// How often the release command of each attempt was started.
    pub fn release_runs(&self) -> Vec<u64> {
        self.state().runs.iter().map(|(_, attempt)| attempt.0).collect()
    }
}
