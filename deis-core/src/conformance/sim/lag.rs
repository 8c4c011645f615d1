//! A simulated scheduler that answers from a cache.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::{World, world::MAX_LAG};
use crate::{
    model::{AppRef, InstanceName, Observation, Workload},
    port::{Scheduler, SchedulerError},
};

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

impl LaggingScheduler {
    fn wrote(&self) {
        self.written.store(self.world.state().moment, Ordering::SeqCst);
    }
}

#[async_trait]
impl Scheduler for LaggingScheduler {
    async fn apply(&self, workload: &Workload) -> Result<(), SchedulerError> {
        // A refusal is no write: what it was for may reach this cache later.
        self.world.apply(workload).await?;
        self.wrote();
        Ok(())
    }

    async fn observe(&self, app: &AppRef) -> Result<Observation, SchedulerError> {
        let written = self.written.load(Ordering::SeqCst);
        let state = self.world.state();
        let recent = state.past.iter().skip(state.past.len().saturating_sub(self.ticks));
        let old = recent.into_iter().find(|snapshot| snapshot.moment >= written);
        let (apps, is_outage) = match old {
            Some(snapshot) => (&*snapshot.apps, snapshot.is_outage),
            None => (&state.apps, state.is_outage()),
        };
        Ok(apps.get(&app.uid).map(|app| app.observe(is_outage)).unwrap_or_default())
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
