//! What is wrong with one app is not another's: passes that panic, and preparers that do not answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use deis_core::{
    AppName, ChangeOutcome,
    conformance::sim::World,
    model::{AppRef, InstanceName, Observation, Workload},
    plan::constants::PREPARE_LIMIT,
    port::{Prepared, Preparer, Scheduler, SchedulerError},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::fixture::{Fixture, WEB, app, build, name, session, web};

/// Lets time go by in a world for as long as it is held.
struct Clock(JoinHandle<()>);

fn clock(fixture: &Fixture) -> Clock {
    let world = fixture.world.clone();
    Clock(tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            world.tick();
        }
    }))
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A scheduler that panics when it is asked what it sees, and what it has, as often as it is told to.
#[derive(Debug)]
struct PanickingScheduler {
    world: World,
    panics: AtomicUsize,
    lists: AtomicUsize,
}

#[async_trait]
impl Scheduler for PanickingScheduler {
    async fn apply(&self, workload: &Workload) -> Result<(), SchedulerError> {
        self.world.apply(workload).await
    }

    async fn observe(&self, app: &AppRef) -> Result<Observation, SchedulerError> {
        let less = |left: usize| left.checked_sub(1);
        assert!(self.panics.fetch_update(SeqCst, SeqCst, less).is_err(), "this panic is part of the test");
        Scheduler::observe(&self.world, app).await
    }

    async fn evict(&self, app: &AppRef, names: &[InstanceName]) -> Result<(), SchedulerError> {
        self.world.evict(app, names).await
    }

    async fn remove(&self, app: &AppRef) -> Result<(), SchedulerError> {
        self.world.remove(app).await
    }

    async fn apps(&self) -> Result<Vec<AppRef>, SchedulerError> {
        assert!(self.lists.fetch_add(1, SeqCst) > 0, "this panic is part of the test");
        Scheduler::apps(&self.world).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_whose_pass_panics_is_looked_at_again() {
    let fixture = Fixture::new();
    let scheduler = Arc::new(PanickingScheduler {
        world: fixture.world.clone(),
        panics: AtomicUsize::new(2),
        lists: AtomicUsize::new(0),
    });
    let platform = fixture.builder().scheduler(Arc::clone(&scheduler) as _).build().unwrap();
    session(&platform).create_app(name()).await.unwrap();
    let blog = app(&platform).await;
    let change = blog.deploy(build("one", WEB)).await.unwrap();
    let workers = platform.start();
    let _clock = clock(&fixture);
    let minutes = Duration::from_secs(600);
    timeout(minutes, workers.caught_up()).await.expect("each app is looked at in the end");
    let end = timeout(minutes, blog.wait(&change)).await;
    assert_eq!(end.expect("it goes on").unwrap(), ChangeOutcome::Done);
    assert_eq!(scheduler.panics.load(SeqCst), 0);
    assert_eq!(fixture.world.ready(&name(), &web()), 1);
    // The same holds for what is done for all apps.
    tokio::time::sleep(minutes).await;
    assert!(scheduler.lists.load(SeqCst) > 1, "orphans are looked for once more");
    workers.stop().await;
}

#[tokio::test(start_paused = true)]
async fn preparers_that_do_not_answer_keep_no_other_app_waiting() {
    let fixture = Fixture::new();
    let preparer: Preparer = Arc::new(|app: AppRef, _| {
        Box::pin(async move {
            if app.name.as_str().starts_with("slow") {
                std::future::pending::<()>().await;
            }
            Ok(Prepared::default())
        })
    });
    let platform = fixture.builder().preparer(preparer).build().unwrap();
    for n in 0..20 {
        let slow = AppName::new(format!("slow-{n}")).unwrap();
        session(&platform).create_app(slow.clone()).await.unwrap();
        session(&platform).app(&slow).await.unwrap().deploy(build("one", WEB)).await.unwrap();
    }
    let begin = Instant::now();
    let workers = platform.start();
    let _clock = clock(&fixture);
    // By now all of them wait for their preparer.
    tokio::time::sleep(Duration::from_secs(10)).await;
    session(&platform).create_app(name()).await.unwrap();
    let blog = app(&platform).await;
    let change = blog.deploy(build("one", WEB)).await.unwrap();
    let minute = Duration::from_secs(60);
    let end = timeout(minute, blog.wait(&change)).await;
    assert_eq!(end.expect("its own preparer answers").unwrap(), ChangeOutcome::Done);
    blog.destroy().await.unwrap();
    timeout(minute, blog.destroyed()).await.expect("it gets its turn").unwrap();
    // Nor does one that is not wanted any more keep its own app waiting.
    let slow = session(&platform).app(&AppName::new("slow-3").unwrap()).await.unwrap();
    slow.destroy().await.unwrap();
    timeout(minute, slow.destroyed()).await.expect("nobody waits for its build").unwrap();
    assert!(begin.elapsed() < PREPARE_LIMIT, "the others still wait");
    assert_eq!(fixture.world.instances(&name()).len(), 0);
    workers.stop().await;
}
