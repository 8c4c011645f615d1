//! What a pass makes of back ends that are away, that refuse, or that have not done yet what they were told.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use deis_core::{
    DomainName, ReleaseVersion,
    conformance::sim::World,
    model::{AppRef, AppRoutes, Cause, EventKind, Outcome, Phase, RouteFence},
    port::{ArtifactError, Prepared, Preparer, Router, RouterError},
    service::Progress,
    state::events,
};

use super::fixture::{Fixture, OneLineRunner, RELEASE, RefusingScheduler, WEB, app, build, name, web};

/// A router that is away, or that takes routes and cannot serve one of the domains.
#[derive(Debug)]
struct Picky {
    world: World,
    away: AtomicBool,
    /// It can be asked, and takes nothing.
    full: AtomicBool,
    refuses: Option<DomainName>,
}

impl Picky {
    fn new(fixture: &Fixture, refuses: Option<DomainName>) -> Arc<Self> {
        let world = fixture.world.clone();
        Arc::new(Self { world, away: AtomicBool::new(false), full: AtomicBool::new(false), refuses })
    }

    fn reach(&self) -> Result<(), RouterError> {
        if self.away.load(SeqCst) { Err(RouterError::Unavailable("it is away".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Router for Picky {
    async fn publish(&self, routes: &AppRoutes) -> Result<Vec<(DomainName, String)>, RouterError> {
        self.reach()?;
        if self.full.load(SeqCst) {
            return Err(RouterError::Unavailable("it is full".into()));
        }
        self.world.publish(routes).await?;
        let refused = routes.domains.iter().filter(|domain| Some(*domain) == self.refuses.as_ref());
        Ok(refused.map(|domain| (domain.clone(), "another router has it".to_owned())).collect())
    }

    async fn published(&self, app: &AppRef) -> Result<Option<RouteFence>, RouterError> {
        self.reach()?;
        self.world.published(app).await
    }

    async fn withdraw(&self, app: &AppRef) -> Result<(), RouterError> {
        self.reach()?;
        self.world.withdraw(app).await
    }

    async fn apps(&self) -> Result<Vec<AppRef>, RouterError> {
        Router::apps(&self.world).await
    }
}

#[tokio::test]
async fn people_are_told_of_a_domain_that_cannot_be_routed() {
    let fixture = Fixture::new();
    let domain = DomainName::new("www.example.com").unwrap();
    let router = Picky::new(&fixture, Some(domain.clone()));
    let platform = fixture.builder().router(router).build().unwrap();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    let told = async || {
        let read = events::read(&*fixture.store, Some(&name()), None, 1000).await.unwrap();
        let all = read.events.into_iter().filter_map(|(_, event)| match event.kind {
            EventKind::DomainRefused { domain, reason } => Some((domain, reason)),
            _ => None,
        });
        all.collect::<Vec<_>>()
    };
    assert_eq!(told().await, []);
    blog.domain_add(domain.clone()).await.unwrap();
    fixture.drive(&platform).await;
    assert_eq!(told().await, [(domain, "another router has it".to_owned())]);
}

#[tokio::test]
async fn an_app_without_a_rollout_waits_for_its_router() {
    let fixture = Fixture::new();
    let router = Picky::new(&fixture, None);
    let platform = fixture.builder().router(Arc::clone(&router) as _).build().unwrap();
    let blog = fixture.create(&platform).await;
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Idle);
    fixture.world.forget();
    for broken in [&router.away, &router.full] {
        broken.store(true, SeqCst);
        assert_eq!(platform.pass(&name()).await.unwrap(), Progress::BackendUnavailable);
        broken.store(false, SeqCst);
    }
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Advanced);
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Idle);
    // A newer counter of routes, and no rollout.
    blog.domain_add(DomainName::new("www.example.com").unwrap()).await.unwrap();
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Advanced);
    assert_eq!(fixture.world.routes(&name()).unwrap().domains.len(), 2);
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Idle);
}

#[tokio::test]
async fn a_rollout_stands_still_while_a_back_end_is_away() {
    let fixture = Fixture::new();
    let router = Picky::new(&fixture, None);
    let platform = fixture.builder().router(Arc::clone(&router) as _).build().unwrap();
    let blog = fixture.create(&platform).await;
    // The first one is routed as soon as it is ready, for nothing else serves.
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    blog.deploy(build("two", WEB)).await.unwrap();
    router.away.store(true, SeqCst);
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::BackendUnavailable);
    router.away.store(false, SeqCst);
    fixture.drive_to(&platform, "routing", false).await;
    router.full.store(true, SeqCst);
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::BackendUnavailable);
    assert_eq!(fixture.phase().await.name(), "routing");
    router.full.store(false, SeqCst);
    fixture.drive(&platform).await;
    assert_eq!(fixture.phase().await.name(), "succeeded");

    let away =
        RefusingScheduler { world: fixture.world.clone(), refused: Mutex::default(), away_for: "blog" };
    let blind = fixture.builder().scheduler(Arc::new(away)).build().unwrap();
    assert_eq!(blind.pass(&name()).await.unwrap(), Progress::BackendUnavailable);
}

/// A preparer that answers as it is told to, and counts how often it is asked.
fn preparer(answer: fn(usize) -> Result<Prepared, ArtifactError>) -> (Preparer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let preparer: Preparer =
        Arc::new(move |_, _| Box::pin(std::future::ready(answer(count.fetch_add(1, SeqCst)))));
    (preparer, asked)
}

#[tokio::test]
async fn an_artifact_is_asked_for_until_it_is_there_and_then_no_more() {
    let fixture = Fixture::new();
    let (preparer, asked) = preparer(|nth| match nth {
        0..3 => Err(ArtifactError::Unavailable("the registry is away".into())),
        _ => Ok(Prepared::default()),
    });
    let platform = fixture.builder().preparer(preparer).build().unwrap();
    let blog = fixture.create(&platform).await;
    blog.deploy(build("one", WEB)).await.unwrap();
    while asked.load(SeqCst) < 3 {
        let before = asked.load(SeqCst);
        let progress = platform.pass(&name()).await.unwrap();
        if asked.load(SeqCst) > before {
            assert_eq!(progress, Progress::Waiting, "it is away");
        }
    }
    assert_eq!(fixture.phase().await.name(), "staging");
    fixture.drive(&platform).await;
    assert_eq!(fixture.phase().await.name(), "succeeded");
    assert_eq!(asked.load(SeqCst), 4);
    // Another release of the same build asks again: its lease ended with the rollout.
    fixture.deploy(&platform, &app(&platform).await, build("two", WEB)).await;
    assert_eq!(asked.load(SeqCst), 5);
}

#[tokio::test]
async fn an_artifact_that_is_damaged_fails_its_release_at_once() {
    let fixture = Fixture::new();
    let (preparer, asked) =
        preparer(|_| Err(ArtifactError::Definitive { reason: "not what its digest says".to_owned() }));
    let platform = fixture.builder().preparer(preparer).build().unwrap();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    let end = blog.release(ReleaseVersion(2)).await.unwrap().outcome;
    let Some(Outcome::Failed { cause: Cause::Artifact { reason }, .. }) = end else { panic!("{end:?}") };
    assert_eq!(reason, "not what its digest says");
    assert_eq!(asked.load(SeqCst), 1);
    assert_eq!(fixture.world.ready(&name(), &web()), 0);
}

#[tokio::test]
async fn a_workload_that_is_refused_is_gone_back_from() {
    for fallback_too in [false, true] {
        let fixture = Fixture::new();
        let scheduler = Arc::new(RefusingScheduler {
            world: fixture.world.clone(),
            refused: Mutex::default(),
            away_for: "",
        });
        let platform = fixture.builder().scheduler(Arc::clone(&scheduler) as _).build().unwrap();
        let blog = fixture.create(&platform).await;
        fixture.deploy(&platform, &blog, build("one", WEB)).await;
        blog.deploy(build("two", WEB)).await.unwrap();
        let target = fixture.state().await.head.value.generation;
        *scheduler.refused.lock().unwrap() = if fallback_too { target.plus(2) } else { target };
        fixture.drive(&platform).await;
        let end = blog.release(ReleaseVersion(3)).await.unwrap().outcome;
        let Some(Outcome::Failed { cause: Cause::Rejected { reason }, .. }) = end else { panic!("{end:?}") };
        assert_eq!(reason, "not that one");
        let phase = fixture.phase().await;
        let Phase::Failed { fallback_unhealthy, .. } = phase else { panic!("{phase:?}") };
        assert_eq!(fallback_unhealthy, fallback_too);
        assert_eq!(fixture.world.ready(&name(), &web()), 1, "what was live serves");
    }
}

#[tokio::test]
async fn a_release_command_is_one_of_its_release() {
    let fixture = Fixture::new();
    let runner = OneLineRunner::new(&fixture, false);
    let platform = fixture.builder().runner(Arc::clone(&runner) as _).build().unwrap();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", RELEASE)).await;
    let tasks = runner.tasks.lock().unwrap();
    assert_eq!(tasks.iter().map(|task| task.release).collect::<Vec<_>>(), [Some(ReleaseVersion(2))]);
    assert_eq!(tasks[0].env["WORKFLOW_RELEASE"], "v2", "{:?}", tasks[0].env);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_start_waits_until_every_app_has_its_routes() {
    let fixture = Fixture::new();
    let router = Picky::new(&fixture, None);
    let platform = fixture.builder().router(Arc::clone(&router) as _).build().unwrap();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    fixture.world.forget();
    router.away.store(true, SeqCst);
    let workers = platform.start();
    let minute = Duration::from_secs(60);
    tokio::time::timeout(minute, workers.caught_up()).await.unwrap_err();
    router.away.store(false, SeqCst);
    tokio::time::timeout(minute, workers.caught_up()).await.unwrap();
    assert!(fixture.world.routes(&name()).is_some());
    workers.stop().await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0, "it waits for its tasks");
}
