//! Back ends that refuse by what they have and answer from what they saw a moment ago.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use async_trait::async_trait;
use deis_core::{
    DomainName,
    conformance::sim::World,
    model::{AppRef, AppRoutes, Generation, InstanceName, Observation, RouteFence, Workload},
    port::{Router, RouterError, Scheduler, SchedulerError},
    service::Progress,
};

use super::fixture::{Fixture, WEB, build, name};

/// Scheduler and router in one; while it is behind, another process has written what it does not show yet.
#[derive(Debug, Default)]
struct Behind {
    world: World,
    scheduler: AtomicBool,
    router: AtomicBool,
    refusals: AtomicUsize,
}

#[async_trait]
impl Scheduler for Behind {
    async fn apply(&self, workload: &Workload) -> Result<(), SchedulerError> {
        if self.scheduler.load(SeqCst) {
            self.refusals.fetch_add(1, Relaxed);
            return Err(SchedulerError::Stale {
                given: workload.generation,
                current: workload.generation.plus(1),
            });
        }
        self.world.apply(workload).await
    }

    async fn observe(&self, app: &AppRef) -> Result<Observation, SchedulerError> {
        let mut seen = Scheduler::observe(&self.world, app).await?;
        if self.scheduler.load(SeqCst) {
            seen.generation = Generation(0);
        }
        Ok(seen)
    }

    async fn evict(&self, app: &AppRef, instances: &[InstanceName]) -> Result<(), SchedulerError> {
        self.world.evict(app, instances).await
    }

    async fn remove(&self, app: &AppRef) -> Result<(), SchedulerError> {
        self.world.remove(app).await
    }

    async fn apps(&self) -> Result<Vec<AppRef>, SchedulerError> {
        Scheduler::apps(&self.world).await
    }
}

#[async_trait]
impl Router for Behind {
    async fn publish(&self, routes: &AppRoutes) -> Result<Vec<(DomainName, String)>, RouterError> {
        if self.router.load(SeqCst) {
            self.refusals.fetch_add(1, Relaxed);
            let current = RouteFence { routes: routes.fence.routes + 1, ..routes.fence };
            return Err(RouterError::Stale { given: routes.fence, current });
        }
        self.world.publish(routes).await
    }

    async fn published(&self, app: &AppRef) -> Result<Option<RouteFence>, RouterError> {
        let published = self.world.published(app).await?;
        Ok(published.filter(|_| !self.router.load(SeqCst)))
    }

    async fn withdraw(&self, app: &AppRef) -> Result<(), RouterError> {
        self.world.withdraw(app).await
    }

    async fn apps(&self) -> Result<Vec<AppRef>, RouterError> {
        Router::apps(&self.world).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_back_end_that_refuses_and_does_not_show_why_is_asked_again_after_a_pause() {
    for at in ["scheduler", "router"] {
        let fixture = Fixture::new();
        let behind = Arc::new(Behind { world: fixture.world.clone(), ..Behind::default() });
        let builder = fixture.builder().scheduler(Arc::clone(&behind) as _).router(Arc::clone(&behind) as _);
        let platform = builder.build().unwrap();
        let blog = fixture.create(&platform).await;
        fixture.deploy(&platform, &blog, build("one", WEB)).await;
        let shown = if at == "scheduler" { &behind.scheduler } else { &behind.router };
        shown.store(true, SeqCst);
        assert_eq!(platform.pass(&name()).await.unwrap(), Progress::BackendUnavailable, "{at}");

        let workers = platform.start();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let refusals = behind.refusals.swap(0, SeqCst);
        assert!((5..50).contains(&refusals), "the {at} was asked {refusals} times in a minute");
        shown.store(false, SeqCst);
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(behind.refusals.load(SeqCst), 0, "{at}");
        workers.stop().await;
        assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Idle, "{at}");
    }
}
