//! What can happen to the simulated back ends by itself.

use super::{World, world::WorldState};
use crate::model::{AppName, AppRef, AppUid, Generation, Instance, InstanceState, TemplateId};

/// Ticks of an outage.
const OUTAGE: u32 = 12;

impl World {
    /// What happens when the machine's daemon ends: the scheduler knows no generation (instances go on), the router
    /// no routes, the runner no tasks.
    pub fn forget(&self) {
        self.forget_service();
        let mut state = self.state();
        state.tasks.clear();
        state.stale_tasks.clear();
        state.tasks_changed.notify_waiters();
        state.fences.clear();
    }

    /// The same without the runner, which goes with the process that uses it or keeps what it knows: a scheduler and a
    /// router that start again while the platform goes on.
    pub fn forget_service(&self) {
        let mut state = self.state();
        state.forget_scheduler();
        state.removed.clear();
        state.routes.clear();
        state.withdrawn.clear();
    }

    /// The machines of the instances start again: all instances are gone, and the scheduler knows nothing until it is
    /// told. Router and runner are elsewhere.
    pub fn reboot(&self) {
        let mut state = self.state();
        state.forget_scheduler();
        for app in state.apps.values_mut() {
            app.instances.clear();
        }
        state.harmed(usize::MAX);
    }

    /// The machines of the instances do not act on anything for a while that is longer than a rollout may take, and what
    /// the scheduler tells of instances is wrong. Once in a world, and not where an image was fetched for long: one clock
    /// counts both, and does not stand still for ever.
    pub fn stall(&self) {
        let mut state = self.state();
        if state.outage.is_none() && !state.apps.values().any(super::app::SimApp::has_pulled) {
            state.outage = Some(OUTAGE);
        }
    }

    /// The newest ready instance of an app is lost; its scheduler starts another one.
    pub fn lose_one(&self, app: &AppName) {
        let mut state = self.state();
        let lost = state.newest_ready(app).map(|instance| instance.name.clone());
        for app in state.apps.values_mut() {
            app.instances.retain(|i| Some(&i.name) != lost.as_ref());
        }
        state.harmed(1);
    }

    /// The newest ready instance of an app fails, and no other one of its template comes up from now on: a release
    /// that looked well is not. Templates in `proven` are left alone. Returns whether there was such an instance.
    pub fn spoil(&self, app: &AppName, proven: &[TemplateId]) -> bool {
        let mut state = self.state();
        let Some(newest) = state.newest_ready(app).cloned().filter(|i| !proven.contains(&plain(&i.template)))
        else {
            return false;
        };
        state.spoiled.insert(newest.template.clone());
        for app in state.apps.values_mut() {
            for instance in app.instances.iter_mut().filter(|i| i.name == newest.name) {
                let cause = super::app::crash_loop(&instance.process);
                (instance.state, instance.available) = (InstanceState::Failing { cause }, false);
            }
        }
        state.harmed(1);
        true
    }

    /// Whether [`World::spoil`] ever met a template.
    pub fn has_spoiled(&self) -> bool {
        !self.state().spoiled.is_empty()
    }

    /// Which of these templates [`World::spoil`] met.
    pub fn is_spoiled(&self, template: &TemplateId) -> bool {
        self.state().spoiled.iter().any(|spoiled| plain(spoiled) == plain(template))
    }

    /// Lets the scheduler take any generation of an app as if it knew none: a fault to plant.
    pub fn drop_fence(&self, app: &AppRef) {
        if let Some(app) = self.state().apps.get_mut(&app.uid) {
            app.accepted = Generation(0);
        }
    }

    /// How many instances were lost within the last `ticks`; all of them is [`usize::MAX`].
    pub fn lost_within(&self, ticks: u64) -> usize {
        let state = self.state();
        let recent = state.losses.iter().filter(|(at, _)| state.ticks - at <= ticks);
        recent.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Promises to the back ends that were broken, each as a sentence.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// What there is of a life of an app: instances, what else the scheduler has of it, running tasks, routes.
    pub fn remains(&self, uid: AppUid) -> Vec<String> {
        let state = self.state();
        let instances = state.apps.get(&uid).into_iter().flat_map(|app| &app.instances);
        let tasks = state.tasks.iter().filter(|((app, ..), task)| *app == uid && task.state.is_active());
        let routes = state.routes.values().filter(|routes| routes.app.uid == uid);
        instances
            .map(|i| i.name.to_string())
            .chain(state.apps.get(&uid).and_then(super::app::SimApp::remains))
            .chain(tasks.map(|((_, _, name, _), _)| name.to_string()))
            .chain(routes.map(|r| format!("routes {}", r.fence)))
            .collect()
    }
}

impl WorldState {
    fn forget_scheduler(&mut self) {
        for app in self.apps.values_mut() {
            app.accepted = Generation(0);
            app.workload = None;
        }
        // It answers from what it sees from now on.
        self.past.clear();
    }

    fn harmed(&mut self, lost: usize) {
        self.losses.push((self.ticks, lost));
        self.past.clear();
        self.moment += 1;
    }

    fn newest_ready(&self, app: &AppName) -> Option<&Instance> {
        let instances = self.apps.values().filter(|a| a.app.name == *app).flat_map(|a| &a.instances);
        instances.filter(|i| i.is_ready()).max_by(|a, b| number(a).cmp(number(b)))
    }
}

/// What names of instances are ordered by: the counter in them.
fn number(instance: &Instance) -> &str {
    instance.name.as_str().rsplit('-').nth(1).unwrap_or_default()
}

/// The template id as the platform knows it.
fn plain(id: &TemplateId) -> TemplateId {
    TemplateId(id.0.trim_end_matches("-crash").to_owned())
}
