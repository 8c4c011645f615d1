//! Back ends that fail once, or whose caller dies, at the n-th call.

use std::{
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::{
    model::{
        AppRef, AppRoutes, Attempt, DomainName, InstanceName, LogLine, LogQuery, Observation, RouteFence,
        Task, TaskInfo, TaskObservation, TaskRef, Workload,
    },
    port::{
        ArtifactError, Attached, Batch, BoxError, Cursor, LogError, LogStore, LogStream, Preparer, Read,
        Reading, Revision, Router, RouterError, Scheduler, SchedulerError, StopScope, Store, StoreError,
        TaskError, TaskRunner,
    },
};

/// What happens at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies before the call takes effect.
    DieBefore,
    /// The process dies when the call has taken effect, before it learns so.
    DieAfter,
    /// The call fails without effect; the process goes on.
    FailBefore,
    /// The call takes effect and its answer is lost; the process goes on.
    FailAfter,
    /// The call works; what shall happen at the strike ([`Fuse::with_harm`]) happens right before it.
    Between,
    /// The process dies, and the call that it has just made takes effect only when [`Fuse::deliver`] is called: a
    /// message that was long on its way. A call that changes nothing is lost.
    DieLate,
}

/// What else happens when a fault strikes.
pub type Harm = Arc<dyn Fn() + Send + Sync>;

/// Counts calls of all wrapped back ends and strikes at one of them. Clones share one.
#[derive(Clone, Debug, Default)]
pub struct Fuse(Arc<FuseState>);

#[derive(Default)]
struct FuseState {
    calls: AtomicUsize,
    strike: Option<(usize, Fault)>,
    /// Calls count only from a moment on that is still to come.
    waits: AtomicBool,
    /// Seed of the turns that others get before each call.
    turns: Option<u64>,
    harm: Option<Harm>,
    /// The call of a dead process that is still on its way.
    late: Mutex<Option<BoxFuture<'static, ()>>>,
    /// Calls that could change something, by number.
    writes: Mutex<Vec<usize>>,
    died: AtomicBool,
    death: Notify,
}

impl fmt::Debug for FuseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FuseState")
            .field("calls", &self.calls)
            .field("strike", &self.strike)
            .finish_non_exhaustive()
    }
}

impl Fuse {
    /// Strikes at the call with this number, from 0.
    pub fn at(number: usize, fault: Fault) -> Self {
        Self(Arc::new(FuseState { strike: Some((number, fault)), ..FuseState::default() }))
    }

    /// Strikes at the call with this number after [`Fuse::start`].
    pub fn stopped(number: usize, fault: Fault) -> Self {
        let fuse = Self::at(number, fault);
        fuse.0.waits.store(true, Ordering::SeqCst);
        fuse
    }

    /// Begins to count.
    pub fn start(&self) {
        self.0.waits.store(false, Ordering::SeqCst);
    }

    /// Gives others none to two turns before each call, as the seed says: what several processes do at once
    /// becomes mixed, and can be repeated.
    ///
    /// Belongs before the first call: the count begins anew.
    #[must_use]
    pub fn taking_turns(self, seed: u64) -> Self {
        let harm = self.0.harm.clone();
        Self(Arc::new(FuseState { strike: self.0.strike, turns: Some(seed), harm, ..FuseState::default() }))
    }

    /// Lets `harm` happen at the strike as well: before the call, or after its effect where the fault is one that
    /// comes after.
    ///
    /// Belongs before the first call: the count begins anew.
    #[must_use]
    pub fn with_harm(self, harm: Harm) -> Self {
        let waits = AtomicBool::new(self.0.waits.load(Ordering::SeqCst));
        let (strike, turns) = (self.0.strike, self.0.turns);
        Self(Arc::new(FuseState { strike, waits, turns, harm: Some(harm), ..FuseState::default() }))
    }

    /// Lets the call take effect now that [`Fault::DieLate`] kept back, if there is one. Returns whether there was.
    pub async fn deliver(&self) -> bool {
        let late = self.0.late.lock().unwrap_or_else(PoisonError::into_inner).take();
        match late {
            Some(call) => {
                call.await;
                true
            }
            None => false,
        }
    }

    /// Never strikes.
    pub fn never() -> Self {
        Self::default()
    }

    /// Calls so far.
    pub fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    /// Numbers of the calls so far that could change something outside the process. Between two of them, and unless time
    /// goes by, it is all the same to everybody else where the process dies.
    pub fn writes(&self) -> Vec<usize> {
        self.0.writes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the chosen call was reached.
    pub fn was_reached(&self) -> bool {
        self.0.strike.is_some_and(|(number, _)| self.calls() > number)
    }

    /// Whether the process has died.
    pub fn is_dead(&self) -> bool {
        self.0.died.load(Ordering::SeqCst)
    }

    /// Returns once the process has died.
    pub async fn wait_for_death(&self) {
        loop {
            let notified = self.0.death.notified();
            if self.is_dead() {
                return;
            }
            notified.await;
        }
    }

    /// Counts a call, and tells what strikes it.
    async fn next(&self, is_write: bool) -> Option<Fault> {
        if self.0.waits.load(Ordering::SeqCst) {
            return None;
        }
        let number = self.0.calls.fetch_add(1, Ordering::SeqCst);
        if is_write {
            self.0.writes.lock().unwrap_or_else(PoisonError::into_inner).push(number);
        }
        if let Some(seed) = self.0.turns {
            for _ in 0..turns(seed, number) {
                tokio::task::yield_now().await;
            }
        }
        self.0.strike.filter(|(at, _)| *at == number).map(|(_, fault)| fault)
    }

    /// A call that changes nothing.
    async fn call<T: Send, E: Send>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send,
        away: impl Fn(BoxError) -> E + Send + Sync,
    ) -> Result<T, E> {
        let fault = self.next(false).await;
        self.strike(fault, work, away).await
    }

    /// A call that can take effect after its caller died.
    async fn write<T: Send + 'static, E: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
        away: impl Fn(BoxError) -> E + Send + Sync,
    ) -> Result<T, E> {
        let fault = self.next(true).await;
        if fault == Some(Fault::DieLate) {
            let call: BoxFuture<'static, ()> = Box::pin(async move {
                let _ = work.await;
            });
            *self.0.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
            self.harm();
            return self.die().await;
        }
        self.strike(fault, work, away).await
    }

    async fn strike<T: Send, E: Send>(
        &self,
        fault: Option<Fault>,
        work: impl Future<Output = Result<T, E>> + Send,
        away: impl Fn(BoxError) -> E + Send + Sync,
    ) -> Result<T, E> {
        let lost = || away("the simulated network broke".into());
        match fault {
            None => work.await,
            Some(Fault::Between) => {
                self.harm();
                work.await
            }
            Some(Fault::DieBefore | Fault::DieLate) => {
                self.harm();
                self.die().await
            }
            Some(Fault::DieAfter) => {
                let _ = work.await;
                self.harm();
                self.die().await
            }
            Some(Fault::FailBefore) => {
                self.harm();
                Err(lost())
            }
            Some(Fault::FailAfter) => {
                let _ = work.await;
                self.harm();
                Err(lost())
            }
        }
    }

    fn harm(&self) {
        if let Some(harm) = &self.0.harm {
            harm();
        }
    }

    async fn die<T>(&self) -> T {
        self.0.died.store(true, Ordering::SeqCst);
        self.0.death.notify_waiters();
        std::future::pending().await
    }

    /// The preparing function with this fuse in it.
    pub fn preparer(&self, inner: &Preparer) -> Preparer {
        let (fuse, inner) = (self.clone(), Arc::clone(inner));
        Arc::new(move |app, artifact| {
            let (fuse, inner) = (fuse.clone(), Arc::clone(&inner));
            Box::pin(async move { fuse.call(inner(app, artifact), ArtifactError::Unavailable).await })
        })
    }
}

/// How many turns others get before a call.
fn turns(seed: u64, number: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, number).hash(&mut hasher);
    hasher.finish() % 3
}

/// A back end with a fuse in it.
pub struct Faulty<T: ?Sized> {
    inner: Arc<T>,
    fuse: Fuse,
}

impl<T: ?Sized> Faulty<T> {
    /// Wraps a back end.
    pub fn new(inner: Arc<T>, fuse: &Fuse) -> Self {
        Self { inner, fuse: fuse.clone() }
    }
}

impl<T: ?Sized> fmt::Debug for Faulty<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").finish_non_exhaustive()
    }
}

#[async_trait]
impl<T: Store + ?Sized> Store for Faulty<T> {
    async fn read(&self, reads: &[Read]) -> Result<Reading, StoreError> {
        self.fuse.call(self.inner.read(reads), StoreError::Unavailable).await
    }
    async fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        let inner = Arc::clone(&self.inner);
        self.fuse.write(async move { inner.commit(batch).await }, StoreError::Unavailable).await
    }
}

#[async_trait]
impl<T: Scheduler + ?Sized> Scheduler for Faulty<T> {
    async fn apply(&self, workload: &Workload) -> Result<(), SchedulerError> {
        let (inner, workload) = (Arc::clone(&self.inner), workload.clone());
        self.fuse.write(async move { inner.apply(&workload).await }, SchedulerError::Unavailable).await
    }
    async fn observe(&self, app: &AppRef) -> Result<Observation, SchedulerError> {
        self.fuse.call(self.inner.observe(app), SchedulerError::Unavailable).await
    }
    async fn evict(&self, app: &AppRef, names: &[InstanceName]) -> Result<(), SchedulerError> {
        let (inner, app, names) = (Arc::clone(&self.inner), app.clone(), names.to_vec());
        self.fuse.write(async move { inner.evict(&app, &names).await }, SchedulerError::Unavailable).await
    }
    async fn remove(&self, app: &AppRef) -> Result<(), SchedulerError> {
        let (inner, app) = (Arc::clone(&self.inner), app.clone());
        self.fuse.write(async move { inner.remove(&app).await }, SchedulerError::Unavailable).await
    }
    async fn apps(&self) -> Result<Vec<AppRef>, SchedulerError> {
        self.fuse.call(self.inner.apps(), SchedulerError::Unavailable).await
    }
}

#[async_trait]
impl<T: Router + ?Sized> Router for Faulty<T> {
    async fn publish(&self, routes: &AppRoutes) -> Result<Vec<(DomainName, String)>, RouterError> {
        let (inner, routes) = (Arc::clone(&self.inner), routes.clone());
        self.fuse.write(async move { inner.publish(&routes).await }, RouterError::Unavailable).await
    }
    async fn published(&self, app: &AppRef) -> Result<Option<RouteFence>, RouterError> {
        self.fuse.call(self.inner.published(app), RouterError::Unavailable).await
    }
    async fn withdraw(&self, app: &AppRef) -> Result<(), RouterError> {
        let (inner, app) = (Arc::clone(&self.inner), app.clone());
        self.fuse.write(async move { inner.withdraw(&app).await }, RouterError::Unavailable).await
    }
    async fn apps(&self) -> Result<Vec<AppRef>, RouterError> {
        self.fuse.call(self.inner.apps(), RouterError::Unavailable).await
    }
}

#[async_trait]
impl<T: TaskRunner + ?Sized> TaskRunner for Faulty<T> {
    async fn start(&self, task: &Task) -> Result<(), TaskError> {
        let (inner, task) = (Arc::clone(&self.inner), task.clone());
        self.fuse.write(async move { inner.start(&task).await }, TaskError::Unavailable).await
    }
    async fn attach(&self, task: &TaskRef, from: Cursor, input: bool) -> Result<Attached, TaskError> {
        self.fuse.call(self.inner.attach(task, from, input), TaskError::Unavailable).await
    }
    async fn observe(&self, task: &TaskRef) -> Result<TaskObservation, TaskError> {
        self.fuse.call(self.inner.observe(task), TaskError::Unavailable).await
    }
    async fn stop(&self, app: &AppRef, scope: &StopScope, attempt: Attempt) -> Result<(), TaskError> {
        let (inner, app, scope) = (Arc::clone(&self.inner), app.clone(), scope.clone());
        self.fuse.write(async move { inner.stop(&app, &scope, attempt).await }, TaskError::Unavailable).await
    }
    async fn tasks(&self, app: Option<&AppRef>) -> Result<Vec<TaskInfo>, TaskError> {
        self.fuse.call(self.inner.tasks(app), TaskError::Unavailable).await
    }
}

#[async_trait]
impl<T: LogStore + ?Sized> LogStore for Faulty<T> {
    async fn append(&self, app: &AppRef, lines: Vec<LogLine>) -> Result<(), LogError> {
        self.fuse.call(self.inner.append(app, lines), LogError::Unavailable).await
    }
    async fn tail(&self, app: &AppRef, query: &LogQuery) -> Result<LogStream, LogError> {
        self.fuse.call(self.inner.tail(app, query), LogError::Unavailable).await
    }
    async fn forget(&self, app: &AppRef) -> Result<(), LogError> {
        self.fuse.call(self.inner.forget(app), LogError::Unavailable).await
    }
}
