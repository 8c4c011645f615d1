//! The simulated scheduler.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    World,
    app::{SimApp, sim_id},
};
use crate::{
    model::{AppRef, Generation, InstanceName, Observation, ProcessGroup, ProcessType, TemplateId, Workload},
    port::{Scheduler, SchedulerError},
};

#[async_trait]
impl Scheduler for World {
    async fn apply(&self, workload: &Workload) -> Result<(), SchedulerError> {
        let mut state = self.state();
        for group in workload.groups.values() {
            let evicted = evicted(&sim_id(group));
            state.templates.insert(evicted, group.template.clone());
            state.templates.insert(sim_id(group), group.template.clone());
        }
        let given = workload.generation;
        if state.removed.contains(&workload.app.uid) {
            return Err(SchedulerError::Stale { given, current: Generation::MAX });
        }
        let app = state.apps.entry(workload.app.uid).or_insert_with(|| SimApp::new(workload.app.clone()));
        if given < app.accepted {
            return Err(SchedulerError::Stale { given, current: app.accepted });
        }
        if given > app.accepted {
            app.accepted = given;
            app.workload = Some(workload.clone());
            app.drain_unwanted();
        }
        state.moment += 1;
        Ok(())
    }

    async fn observe(&self, app: &AppRef) -> Result<Observation, SchedulerError> {
        let state = self.state();
        let seen = state.apps.get(&app.uid).map(|app| app.observe(state.is_outage()));
        Ok(seen.unwrap_or_default())
    }

    async fn evict(&self, app: &AppRef, names: &[InstanceName]) -> Result<(), SchedulerError> {
        let mut state = self.state();
        let Some(app) = state.apps.get_mut(&app.uid) else { return Ok(()) };
        let groups = app.workload.as_ref().map(|workload| workload.groups.clone());
        for instance in app.instances.iter_mut().filter(|i| names.contains(&i.name)) {
            // The replacement is another instance of the same template, so the old one is made foreign.
            // One whose scheduler forgot what shall run is replaced when that is told again.
            let wanted = |groups: &BTreeMap<ProcessType, ProcessGroup>| {
                groups.get(&instance.process).is_some_and(|group| sim_id(group) == instance.template)
            };
            if groups.as_ref().is_none_or(wanted) {
                instance.template = evicted(&instance.template);
            }
        }
        state.moment += 1;
        Ok(())
    }

    async fn remove(&self, app: &AppRef) -> Result<(), SchedulerError> {
        let mut state = self.state();
        state.removed.push(app.uid);
        if let Some(app) = state.apps.get_mut(&app.uid) {
            app.remove();
        }
        state.moment += 1;
        Ok(())
    }

    async fn apps(&self) -> Result<Vec<AppRef>, SchedulerError> {
        Ok(self.state().apps.values().map(|app| app.app.clone()).collect())
    }
}

/// Template of an instance that was evicted: none that anybody wants.
fn evicted(id: &TemplateId) -> TemplateId {
    TemplateId(format!("{id}-evicted"))
}
