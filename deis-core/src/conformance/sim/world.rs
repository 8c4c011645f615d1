//! The state of the simulated back ends.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{lag::Snapshot, runner::TaskKey, tasks::SimTask};
use crate::model::{
    AppName, AppRef, AppRoutes, AppUid, Attempt, Cause, Exit, Generation, Instance, InstanceName,
    InstanceState, ProcessGroup, ProcessType, RouteFence, TaskKind, TaskName, Template, TemplateId,
    Timestamp, Workload,
};

/// Everything that a platform process does not take with it when it dies. Clones share one.
///
/// What a process does is in its command: `crash` never comes up, for `no-room` there is no machine, `release-fails`
/// ends with 1, `release-slow` takes its time, all others work.
#[derive(Clone, Debug, Default)]
pub struct World(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
pub(super) struct State {
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
    /// How many instances were lost, and at which tick.
    pub(super) losses: Vec<(u64, usize)>,
    /// Rises with every write and every tick: what is older than a write is told from what is not.
    pub(super) moment: u64,
    /// What the scheduler knew at the ends of the last ticks, oldest first.
    pub(super) past: VecDeque<Snapshot>,
    pub(super) violations: Vec<String>,
    counter: u64,
}

#[derive(Clone, Debug)]
pub(super) struct SimApp {
    pub(super) app: AppRef,
    pub(super) accepted: Generation,
    pub(super) workload: Option<Workload>,
    pub(super) instances: Vec<Instance>,
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

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves everything on by one step: an instance comes up, another one goes. Returns whether anything changed.
    pub fn tick(&self) -> bool {
        let mut state = self.state();
        let mut changed = false;
        state.ticks += 1;
        state.remember();
        for task in state.tasks.values_mut() {
            changed |= task.tick();
        }
        if changed {
            state.tasks_changed.notify_waiters();
        }
        let mut counter = state.counter;
        let spoiled = state.spoiled.clone();
        for app in state.apps.values_mut() {
            changed |= app.tick(&mut counter, &spoiled);
        }
        state.counter = counter;
        state.apps.retain(|_, app| app.workload.is_some() || !app.instances.is_empty());
        changed
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

impl SimApp {
    pub(super) fn new(app: AppRef) -> Self {
        Self { app, accepted: Generation(0), workload: None, instances: Vec::new() }
    }

    fn tick(&mut self, counter: &mut u64, spoiled: &BTreeSet<TemplateId>) -> bool {
        let mut changed = self.settle_instances(spoiled);
        changed |= self.drain_unwanted();
        let groups = self.workload.as_ref().map(|workload| workload.groups.clone()).unwrap_or_default();
        for (process, group) in &groups {
            changed |= self.roll(process, group, counter);
        }
        changed
    }

    /// A type that shall not run leaves at once, and so does whatever fails and is of an old template. Returns whether
    /// there was any.
    pub(super) fn drain_unwanted(&mut self) -> bool {
        let Some(workload) = &self.workload else { return false };
        let mut changed = false;
        for instance in &mut self.instances {
            let group = workload.groups.get(&instance.process);
            let failing = matches!(instance.state, InstanceState::Failing { .. } | InstanceState::Starting);
            let foreign = group.is_none_or(|g| sim_id(g) != instance.template);
            if !instance.is_draining() && (group.is_none() || (foreign && failing)) {
                instance.state = InstanceState::Draining;
                changed = true;
            }
        }
        changed
    }

    /// What started is up now, or fails; what drained is gone.
    fn settle_instances(&mut self, spoiled: &BTreeSet<TemplateId>) -> bool {
        let before = self.instances.len();
        self.instances.retain(|i| !i.is_draining());
        let mut changed = before != self.instances.len();
        for instance in &mut self.instances {
            if instance.is_ready() && !instance.available {
                // One tick stands for the minimum ready time.
                instance.available = true;
                changed = true;
            }
            if instance.state == InstanceState::Starting {
                let crashes = instance.template.0.ends_with("-crash") || spoiled.contains(&instance.template);
                let cause = crash_loop(&instance.process);
                instance.state =
                    if crashes { InstanceState::Failing { cause } } else { InstanceState::Ready };
                changed = true;
            }
        }
        changed
    }

    /// One extra instance at a time, and an old one leaves only when a new one is available.
    fn roll(&mut self, process: &ProcessType, group: &ProcessGroup, counter: &mut u64) -> bool {
        let id = sim_id(group);
        let wanted = usize::try_from(group.scale).unwrap_or(usize::MAX);
        let count = |own: bool, available: bool, all: &[Instance]| {
            all.iter()
                .filter(|i| {
                    i.process == *process
                        && !i.is_draining()
                        && (i.template == id) == own
                        && (!available || (i.is_ready() && i.available))
                })
                .count()
        };
        let (own, own_available) = (count(true, false, &self.instances), count(true, true, &self.instances));
        let foreign = count(false, false, &self.instances);
        if own < wanted && own == own_available && !has_no_room(group) {
            *counter += 1;
            self.instances.push(Instance {
                name: InstanceName::new(format!("{}-{process}-{counter:08}-abcde", self.app.name))
                    .expect("parts of valid names and digits are a valid name"),
                process: process.clone(),
                template: id,
                release: group.template.release,
                state: InstanceState::Starting,
                available: false,
                started: Timestamp(0),
                trouble: None,
            });
            return true;
        }
        let surplus = own > wanted;
        if foreign > 0 && own_available + foreign > wanted || surplus {
            let goes = |i: &&mut Instance| {
                i.process == *process && !i.is_draining() && (i.template == id) == surplus
            };
            if let Some(instance) = self.instances.iter_mut().rev().find(goes) {
                instance.state = InstanceState::Draining;
                return true;
            }
        }
        false
    }
}

/// Why an instance does not come up.
pub(super) fn crash_loop(process: &ProcessType) -> Cause {
    Cause::CrashLoop { process: process.clone(), exit: Exit::Code(1), last_lines: vec!["boom".to_owned()] }
}

/// Whether no machine takes its instances.
pub(super) fn has_no_room(group: &ProcessGroup) -> bool {
    group.scale > 0 && group.template.launch.command.as_shell() == Some("no-room")
}

/// The template id as the simulation keeps it: it tells by itself whether the process comes up.
pub(super) fn sim_id(group: &ProcessGroup) -> TemplateId {
    if group.template.launch.command.as_shell() == Some("crash") {
        TemplateId(format!("{}-crash", group.id))
    } else {
        group.id.clone()
    }
}
