//! What back ends have that the ledger does not: removed only where it is known that nobody wants it any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use deis_core::{
    AppName, DomainName, Platform, Timestamp,
    model::{
        AppRef, AppRoutes, AppUid, Generation, Program, RouteFence, RouteMode, Task, TaskKind, TaskLife,
        TaskName, Workload,
    },
    port::{Router, RouterError, Scan, Scheduler, Store, StoreExt as _, TaskRunner as _, TaskRunnerExt as _},
    store::MemoryStore,
};
use uuid::Uuid;

use super::fixture::{Fixture, WEB, build, name, session, web};

const DAY: i64 = 24 * 3600 * 1000;

/// Brings back what was removed, as a back end does whose own state was restored.
async fn comes_to_light(fixture: &Fixture, app: &AppRef) {
    fixture.world.forget();
    fixture.world.apply(&Workload::empty(app.clone(), Generation(1))).await.unwrap();
    fixture.world.publish(&routes(app)).await.unwrap();
}

fn routes(app: &AppRef) -> AppRoutes {
    let fence = RouteFence { routes: 1, generation: Generation(1) };
    AppRoutes { app: app.clone(), fence, process: None, domains: Vec::new(), mode: RouteMode::Serve }
}

async fn listed(fixture: &Fixture) -> (Vec<AppRef>, Vec<AppRef>) {
    while fixture.world.tick() {}
    (Scheduler::apps(&fixture.world).await.unwrap(), Router::apps(&fixture.world).await.unwrap())
}

async fn destroyed(fixture: &Fixture, platform: &Platform) -> AppRef {
    let blog = fixture.create(platform).await;
    fixture.deploy(platform, &blog, build("one", WEB)).await;
    blog.destroy().await.unwrap();
    fixture.drive(platform).await;
    blog.app().reference()
}

#[tokio::test]
async fn what_is_left_of_a_destroyed_app_is_removed() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let gone = destroyed(&fixture, &platform).await;
    comes_to_light(&fixture, &gone).await;
    let found = platform.remove_orphans().await.unwrap();
    assert_eq!(found.removed.into_iter().collect::<Vec<_>>(), [gone]);
    assert_eq!(listed(&fixture).await, (vec![], vec![]));
}

#[tokio::test]
async fn an_earlier_life_of_a_name_is_removed_and_the_present_one_is_not() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    let earlier = AppRef { name: name(), uid: AppUid(Uuid::new_v4()) };
    fixture.world.apply(&Workload::empty(earlier.clone(), Generation(1))).await.unwrap();
    let found = platform.remove_orphans().await.unwrap();
    assert_eq!(found.removed.into_iter().collect::<Vec<_>>(), [earlier]);
    assert!(found.unknown.is_empty());
    let present = blog.app().reference();
    assert_eq!(listed(&fixture).await, (vec![present.clone()], vec![present]));
    assert_eq!(fixture.world.ready(&name(), &web()), 1);
}

#[tokio::test]
async fn an_empty_ledger_removes_nothing() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    let there = listed(&fixture).await;
    let empty = fixture.builder().store(Arc::new(MemoryStore::new())).build().unwrap();
    let found = empty.remove_orphans().await.unwrap();
    assert!(found.removed.is_empty());
    assert_eq!(found.unknown.into_iter().collect::<Vec<_>>(), [blog.app().reference()]);
    assert_eq!(listed(&fixture).await, there);
    assert_eq!(fixture.world.ready(&name(), &web()), 1);
}

/// A backup from before the app was created: its instances run on until somebody decides.
#[tokio::test]
async fn an_older_ledger_removes_nothing() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let other = AppName::new("other").unwrap();
    session(&platform).create_app(other).await.unwrap();
    let backup = Arc::new(fixture.store.inner.fork());
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    let restored = fixture.builder().store(backup).build().unwrap();
    assert!(restored.remove_orphans().await.unwrap().removed.is_empty());
    assert_eq!(fixture.world.ready(&name(), &web()), 1);
}

#[tokio::test(start_paused = true)]
async fn what_comes_to_light_later_of_a_destroyed_app_is_removed_too() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let gone = destroyed(&fixture, &platform).await;
    let workers = platform.start();
    tokio::time::sleep(Duration::from_secs(30)).await;
    comes_to_light(&fixture, &gone).await;
    let unknown = AppRef { name: AppName::new("other").unwrap(), uid: AppUid(Uuid::new_v4()) };
    fixture.world.apply(&Workload::empty(unknown.clone(), Generation(1))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(listed(&fixture).await, (vec![unknown], vec![]));
    workers.stop().await;
}

/// A router that never gets rid of an app.
#[derive(Debug)]
struct Stubborn(AppRef);

#[async_trait]
impl Router for Stubborn {
    async fn publish(&self, _: &AppRoutes) -> Result<Vec<(DomainName, String)>, RouterError> {
        Ok(Vec::new())
    }

    async fn published(&self, _: &AppRef) -> Result<Option<RouteFence>, RouterError> {
        Ok(None)
    }

    async fn withdraw(&self, _: &AppRef) -> Result<(), RouterError> {
        Ok(())
    }

    async fn apps(&self) -> Result<Vec<AppRef>, RouterError> {
        Ok(vec![self.0.clone()])
    }
}

/// 90 days, and as long as a back end lists it.
#[tokio::test(start_paused = true)]
async fn the_mark_of_a_destroyed_app_is_kept_as_long_as_it_is_needed() {
    let fixture = Fixture::new();
    let now = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&now);
    let builder = || {
        let clock = Arc::clone(&clock);
        fixture.builder().clock(Arc::new(move || Timestamp(clock.load(SeqCst))))
    };
    let platform = builder().build().unwrap();
    destroyed(&fixture, &platform).await;
    let marks = async || fixture.store.scan(&Scan::prefix("gone/")).await.unwrap().len();
    let workers = platform.start();
    for (days, kept) in [(89, 1), (91, 0)] {
        now.store(days * DAY, SeqCst);
        tokio::time::sleep(Duration::from_secs(700)).await;
        assert_eq!(marks().await, kept, "after {days} days");
    }
    workers.stop().await;

    now.store(0, SeqCst);
    let gone = destroyed(&fixture, &platform).await;
    let router = Arc::new(Stubborn(gone));
    let workers = builder().router(router).build().unwrap().start();
    now.store(91 * DAY, SeqCst);
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert_eq!(marks().await, 1, "a back end still lists it");
    workers.stop().await;
}

#[tokio::test]
async fn a_platform_has_one_id_whoever_asks_first() {
    let fixture = Fixture::new();
    let store: &dyn Store = &*fixture.store;
    let racing = Arc::clone(&fixture.store.inner);
    fixture.store.before("commit", async move {
        Platform::id_of(&*racing).await.unwrap();
    });
    let id = Platform::id_of(store).await.unwrap();
    assert_eq!(Platform::id_of(&*fixture.store.inner).await.unwrap(), id);
    fixture.store.down.store(true, SeqCst);
    let away: Result<_, deis_core::Error> = Platform::id_of(store).await;
    assert!(matches!(away, Err(deis_core::Error::Unavailable(_))), "{away:?}");
}

/// A command that was started for an app of which nothing else is left.
#[tokio::test]
async fn tasks_of_an_app_that_is_gone_are_ended_and_those_of_an_unknown_one_go_on() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let gone = destroyed(&fixture, &platform).await;
    fixture.world.forget();
    let unknown = AppRef { name: AppName::new("other").unwrap(), uid: AppUid(Uuid::new_v4()) };
    for app in [&gone, &unknown] {
        let program = Program::Launch { artifact: build("one", WEB).artifact, command: "lasts".into() };
        let task = TaskName::new("run-1").unwrap();
        let limit = Duration::from_secs(3600);
        let task = Task::new(app.clone(), TaskKind::Run, task, program, limit);
        fixture.world.start(&Task { life: TaskLife::Detached, ..task }).await.unwrap();
    }
    let found = platform.remove_orphans().await.unwrap();
    assert!(found.removed.contains(&gone) && found.removed.len() == 1, "{found:?}");
    assert!(found.unknown.contains(&unknown) && found.unknown.len() == 1, "{found:?}");
    for _ in 0..20 {
        fixture.world.tick();
    }
    assert!(fixture.world.is_idle(&gone).await.unwrap(), "nobody wants it any more");
    assert!(!fixture.world.is_idle(&unknown).await.unwrap(), "somebody may want it");
}
