//! Faults that show at the scheduler.

use std::sync::Arc;

use async_trait::async_trait;
use deis_core::{
    conformance::sim::World,
    model::{AppRef, InstanceName, Observation, Phase, Stall, Workload},
    port::{Scheduler, SchedulerError},
    store::MemoryStore,
};

use super::{Bug, rollout};

/// A scheduler that takes what is out of date, hides that it forgot, or does not say all.
#[derive(Debug)]
pub(super) struct PlantedScheduler {
    pub(super) bug: Bug,
    pub(super) inner: Arc<dyn Scheduler>,
    pub(super) memory: Arc<MemoryStore>,
    pub(super) world: World,
}

#[async_trait]
impl Scheduler for PlantedScheduler {
    async fn apply(&self, workload: &Workload) -> Result<(), SchedulerError> {
        if self.bug == Bug::SchedulerDropsFence {
            self.world.drop_fence(&workload.app);
        }
        self.inner.apply(workload).await
    }

    async fn observe(&self, app: &AppRef) -> Result<Observation, SchedulerError> {
        let mut seen = self.inner.observe(app).await?;
        if self.bug == Bug::ForgottenLiveIgnored
            && let Some(rollout) = rollout(&self.memory, app).filter(|r| r.phase == Phase::Staging)
        {
            seen.generation = seen.generation.max(rollout.live_generation);
        }
        match self.bug {
            Bug::RemainsIgnored => seen.remains = None,
            Bug::StallIgnored => seen.stalled = None,
            Bug::OutageIsEvidence => seen.stalled = seen.stalled.map(|_| Stall::Pulling),
            _ => {}
        }
        Ok(seen)
    }

    async fn evict(&self, app: &AppRef, names: &[InstanceName]) -> Result<(), SchedulerError> {
        self.inner.evict(app, names).await
    }

    async fn remove(&self, app: &AppRef) -> Result<(), SchedulerError> {
        self.inner.remove(app).await
    }

    async fn apps(&self) -> Result<Vec<AppRef>, SchedulerError> {
        self.inner.apps().await
    }
}
