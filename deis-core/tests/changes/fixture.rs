//! One world and one store for any number of platform processes, and back ends that misbehave on demand.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use deis_core::{
    Actor, AppHandle, AppName, BuildSpec, Change, ConfigPatch, Digest, EnvKey, Platform, PlatformBuilder,
    ProcessType, ReleaseVersion, Timestamp, Username,
    conformance::sim::{NoLogs, World},
    model::{
        AppRef, Attempt, Cause, Generation, InstanceName, Observation, Phase, Program, Secret, Task,
        TaskInfo, TaskObservation, TaskRef, UserId, Workload,
    },
    port::{
        Attached, Batch, Cursor, Found, Read, Reading, Revision, Scheduler, SchedulerError, StopScope, Store,
        StoreError, TaskError, TaskRunner, always_prepared,
    },
    service::{NewUser, Progress},
    state::apps::AppState,
    store::MemoryStore,
};
use futures_util::{FutureExt as _, future::BoxFuture};
use uuid::Uuid;

/// What outlives platform processes.
pub(super) struct Fixture {
    pub(super) store: Arc<MisbehavingStore>,
    pub(super) world: World,
}

pub(super) fn name() -> AppName {
    AppName::new("blog").unwrap()
}

pub(super) fn ann() -> Username {
    Username::new("ann").unwrap()
}

pub(super) fn build(tag: &str, processes: &[(&str, &str)]) -> BuildSpec {
    let processes = processes.iter().map(|(p, c)| (ProcessType::new(*p).unwrap(), (*c).to_owned())).collect();
    BuildSpec::slug(Digest::of(tag.as_bytes()), processes)
}

/// One web process.
pub(super) const WEB: &[(&str, &str)] = &[("web", "serve")];
/// The same with a release command.
pub(super) const RELEASE: &[(&str, &str)] = &[("web", "serve"), ("release", "release-works")];

/// A change of one variable.
pub(super) fn config(key: &str, value: &str) -> ConfigPatch {
    ConfigPatch::default().set(EnvKey::new(key).unwrap(), value)
}

/// Somebody who is not registered yet.
pub(super) fn newcomer(name: &str) -> NewUser {
    NewUser {
        id: UserId(Uuid::new_v4()),
        name: Username::new(name).unwrap(),
        email: String::new(),
        first_name: String::new(),
        last_name: String::new(),
        password_hash: Secret::default(),
        token_hash: Digest::of(name.as_bytes()),
        only_first: false,
    }
}

pub(super) fn web() -> ProcessType {
    ProcessType::web()
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self { store: Arc::default(), world: World::new() }
    }

    pub(super) fn builder(&self) -> PlatformBuilder {
        let world = Arc::new(self.world.clone());
        Platform::builder()
            .store(Arc::clone(&self.store) as _)
            .scheduler(Arc::clone(&world) as _)
            .router(Arc::clone(&world) as _)
            .runner(world)
            .logs(Arc::new(NoLogs))
            .preparer(always_prepared())
            .clock(Arc::new(|| Timestamp(1_000_000)))
    }

    /// A platform process that behaves.
    pub(super) fn platform(&self) -> Platform {
        self.builder().store(Arc::clone(&self.store.inner) as _).build().unwrap()
    }

    /// A platform process over the store that can be told to misbehave.
    pub(super) fn misbehaving(&self) -> Platform {
        self.builder().build().unwrap()
    }

    pub(super) async fn create(&self, platform: &Platform) -> AppHandle {
        session(platform).create_app(name()).await.unwrap();
        self.drive(platform).await;
        app(platform).await
    }

    /// Deploys, and passes until nothing more happens.
    pub(super) async fn deploy(&self, platform: &Platform, app: &AppHandle, spec: BuildSpec) -> Change {
        let change = app.deploy(spec).await.unwrap();
        self.drive(platform).await;
        change
    }

    /// Passes until nothing more happens.
    pub(super) async fn drive(&self, platform: &Platform) {
        for _ in 0..500 {
            let progress = platform.pass(&name()).await.unwrap();
            if !self.world.tick() && matches!(progress, Progress::Idle | Progress::AppGone) {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Passes until the rollout is in a phase of this name, without a tick of the world if `still`.
    pub(super) async fn drive_to(&self, platform: &Platform, phase: &str, still: bool) {
        for _ in 0..500 {
            if self.phase().await.name() == phase {
                return;
            }
            if platform.pass(&name()).await.unwrap() != Progress::Advanced && !still {
                self.world.tick();
            }
        }
        panic!("it never gets to {phase}");
    }

    pub(super) async fn state(&self) -> AppState {
        AppState::load(&*self.store.inner, &name()).await.unwrap().unwrap()
    }

    pub(super) async fn phase(&self) -> Phase {
        self.state().await.rollout.unwrap().value.phase
    }
}

pub(super) fn session(platform: &Platform) -> deis_core::Session {
    platform.session(Actor::System { name: ann() })
}

pub(super) async fn app(platform: &Platform) -> AppHandle {
    session(platform).app(&name()).await.unwrap()
}

/// A store in memory that can be told to misbehave.
#[derive(Default)]
pub(super) struct MisbehavingStore {
    pub(super) inner: Arc<MemoryStore>,
    /// It cannot be reached.
    pub(super) down: AtomicBool,
    /// It gives way to other tasks at each call, as a real one does.
    pub(super) slow: AtomicBool,
    /// So many of the next commits fail without effect.
    pub(super) lose: AtomicUsize,
    /// Edits of the largest batch.
    pub(super) largest: AtomicUsize,
    before: Mutex<Option<(String, BoxFuture<'static, ()>)>>,
    after: Mutex<Option<(String, BoxFuture<'static, ()>)>>,
    /// Reads so far.
    pub(super) reads: AtomicUsize,
    /// Records in the answers to them.
    pub(super) records: AtomicUsize,
    /// Commits so far.
    pub(super) commits: AtomicUsize,
}

impl std::fmt::Debug for MisbehavingStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MisbehavingStore")
    }
}

impl MisbehavingStore {
    /// Lets `work` happen right before the next call about keys that begin like this; a commit is about `commit`.
    pub(super) fn before(&self, prefix: &str, work: impl Future<Output = ()> + Send + 'static) {
        *self.before.lock().unwrap() = Some((prefix.to_owned(), work.boxed()));
    }

    /// The same, when that call has read what there is and before its caller goes on.
    pub(super) fn after(&self, prefix: &str, work: impl Future<Output = ()> + Send + 'static) {
        *self.after.lock().unwrap() = Some((prefix.to_owned(), work.boxed()));
    }

    async fn meet(&self, about: &[String]) -> Result<(), StoreError> {
        if self.slow.load(SeqCst) {
            tokio::task::yield_now().await;
        }
        happen(&self.before, about).await;
        if self.down.load(SeqCst) { Err(StoreError::Unavailable("it is down".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for MisbehavingStore {
    async fn read(&self, reads: &[Read]) -> Result<Reading, StoreError> {
        let about = |read: &Read| match read {
            Read::Get(key) => key.as_str().to_owned(),
            Read::Scan(scan) => scan.prefix.clone(),
            Read::Count { prefix } => prefix.clone(),
        };
        let about: Vec<String> = reads.iter().map(about).collect();
        self.reads.fetch_add(1, SeqCst);
        self.meet(&about).await?;
        let reading = self.inner.read(reads).await;
        if let Ok(reading) = &reading {
            let records = |found: &Found| if let Found::Records(all) = found { all.len() } else { 0 };
            self.records.fetch_add(reading.found.iter().map(records).sum(), SeqCst);
        }
        happen(&self.after, &about).await;
        reading
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        self.commits.fetch_add(1, SeqCst);
        self.meet(&["commit".to_owned()]).await?;
        if self.lose.load(SeqCst) > 0 {
            self.lose.fetch_sub(1, SeqCst);
            return Err(StoreError::Unavailable("it was lost".into()));
        }
        self.largest.fetch_max(batch.edits.len(), SeqCst);
        self.inner.commit(batch).await
    }
}

/// Lets what is planned for a call about these keys happen, once.
async fn happen(planned: &Mutex<Option<(String, BoxFuture<'static, ()>)>>, about: &[String]) {
    let work = {
        let mut planned = planned.lock().unwrap();
        let is_now =
            planned.as_ref().is_some_and(|(prefix, _)| about.iter().any(|key| key.starts_with(prefix)));
        if is_now { planned.take() } else { None }
    };
    if let Some((_, work)) = work {
        work.await;
    }
}

/// A scheduler that refuses what is not newer than `refused`, and is away for the apps whose names begin so.
#[derive(Debug)]
pub(super) struct RefusingScheduler {
    pub(super) world: World,
    pub(super) refused: Mutex<Generation>,
    pub(super) away_for: &'static str,
}

impl RefusingScheduler {
    fn reach(&self, app: &AppRef) -> Result<(), SchedulerError> {
        if !self.away_for.is_empty() && app.name.as_str().starts_with(self.away_for) {
            return Err(SchedulerError::Unavailable("it is away".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Scheduler for RefusingScheduler {
    async fn apply(&self, workload: &Workload) -> Result<(), SchedulerError> {
        self.reach(&workload.app)?;
        if workload.generation <= *self.refused.lock().unwrap() {
            return Err(SchedulerError::Rejected {
                cause: Cause::Rejected { reason: "not that one".to_owned() },
            });
        }
        self.world.apply(workload).await
    }

    async fn observe(&self, app: &AppRef) -> Result<Observation, SchedulerError> {
        self.reach(app)?;
        Scheduler::observe(&self.world, app).await
    }

    async fn evict(&self, app: &AppRef, names: &[InstanceName]) -> Result<(), SchedulerError> {
        self.world.evict(app, names).await
    }

    async fn remove(&self, app: &AppRef) -> Result<(), SchedulerError> {
        self.world.remove(app).await
    }

    async fn apps(&self) -> Result<Vec<AppRef>, SchedulerError> {
        Scheduler::apps(&self.world).await
    }
}

/// A runner whose tasks print one line, or that refuses all of them.
#[derive(Debug)]
pub(super) struct OneLineRunner {
    pub(super) world: World,
    pub(super) refuses: bool,
    /// The releases that it was asked to run something for.
    pub(super) asked: Mutex<Vec<Option<ReleaseVersion>>>,
    /// All that it was asked to run.
    pub(super) tasks: Mutex<Vec<Task>>,
}

impl OneLineRunner {
    pub(super) fn new(fixture: &Fixture, refuses: bool) -> Arc<Self> {
        Arc::new(Self {
            world: fixture.world.clone(),
            refuses,
            asked: Mutex::default(),
            tasks: Mutex::default(),
        })
    }
}

#[async_trait]
impl TaskRunner for OneLineRunner {
    async fn start(&self, task: &Task) -> Result<(), TaskError> {
        self.asked.lock().unwrap().push(task.release);
        self.tasks.lock().unwrap().push(task.clone());
        if self.refuses {
            return Err(TaskError::Rejected { reason: "a NUL byte".to_owned() });
        }
        let Program::Launch { artifact, .. } = &task.program else { panic!("{task:?}") };
        let program = Program::Launch { artifact: artifact.clone(), command: "says migrating".into() };
        self.world.start(&Task { program, ..task.clone() }).await
    }

    async fn attach(&self, task: &TaskRef, from: Cursor, input: bool) -> Result<Attached, TaskError> {
        self.world.attach(task, from, input).await
    }

    async fn observe(&self, task: &TaskRef) -> Result<TaskObservation, TaskError> {
        TaskRunner::observe(&self.world, task).await
    }

    async fn stop(&self, app: &AppRef, scope: &StopScope, attempt: Attempt) -> Result<(), TaskError> {
        self.world.stop(app, scope, attempt).await
    }

    async fn tasks(&self, app: Option<&AppRef>) -> Result<Vec<TaskInfo>, TaskError> {
        self.world.tasks(app).await
    }
}

/// Lets virtual time go by.
pub(super) async fn seconds(count: u64) {
    tokio::time::advance(Duration::from_secs(count)).await;
}
