//! A simulated scheduler that answers from a cache.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;

use super::{
    World,
    world::{SimApp, State},
};
use crate::{
    model::{AppRef, AppUid, InstanceName, Observation, Workload},
    port::{Scheduler, SchedulerError},
};

/// How many ticks a cache is behind at most.
pub(super) const MAX_LAG: usize = 3;

/// Everything that the scheduler knew at the end of a tick.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    moment: u64,
    apps: Arc<BTreeMap<AppUid, SimApp>>,
}

/// The scheduler of a [`World`] as one platform process sees it over a slow watch.
///
/// Observations are up to some ticks old. They never precede the last write of this process; one that has written
/// nothing yet may see anything.
#[derive(Debug)]
pub struct LaggingScheduler {
    world: World,
    ticks: usize,
    /// Moment of the last write of this process.
    written: AtomicU64,
}

impl World {
    /// Its scheduler with observations that are `ticks` old, at most three. Each platform process has one of its own.
    pub fn lagging(&self, ticks: usize) -> LaggingScheduler {
        LaggingScheduler { world: self.clone(), ticks: ticks.min(MAX_LAG), written: AtomicU64::new(0) }
    }
}

impl State {
    /// Keeps what is known now for those who see it late.
    pub(super) fn remember(&mut self) {
        self.past.push_back(Snapshot { moment: self.moment, apps: Arc::new(self.apps.clone()) });
        while self.past.len() > MAX_LAG {
            self.past.pop_front();
        }
        self.moment += 1;
    }
}

impl LaggingScheduler {
    fn wrote(&self) {
        self.written.store(self.world.state().moment, Ordering::SeqCst);
    }
}

#[async_trait]
impl Scheduler for LaggingScheduler {
    async fn apply(&self, workload: &Workload) -> Result<(), SchedulerError> {
        let applied = self.world.apply(workload).await;
        // A refusal is news as well: whoever was refused waits until its cache has what is newer.
        self.wrote();
        applied
    }

    async fn observe(&self, app: &AppRef) -> Result<Observation, SchedulerError> {
        let written = self.written.load(Ordering::SeqCst);
        let state = self.world.state();
        let recent = state.past.iter().skip(state.past.len().saturating_sub(self.ticks));
        let old = recent.into_iter().find(|snapshot| snapshot.moment >= written);
        let apps = old.map_or(&state.apps, |snapshot| &*snapshot.apps);
        Ok(apps.get(&app.uid).map(SimApp::observe).unwrap_or_default())
    }

    async fn evict(&self, app: &AppRef, names: &[InstanceName]) -> Result<(), SchedulerError> {
        self.world.evict(app, names).await?;
        self.wrote();
        Ok(())
    }

    async fn remove(&self, app: &AppRef) -> Result<(), SchedulerError> {
        self.world.remove(app).await?;
        self.wrote();
        Ok(())
    }

    async fn apps(&self) -> Result<Vec<AppRef>, SchedulerError> {
        Scheduler::apps(&self.world).await
    }
}
