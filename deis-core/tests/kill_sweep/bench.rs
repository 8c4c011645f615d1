//! What outlives platform processes, and how a process is driven to rest.

use std::{sync::Arc, time::Duration};

use deis_core::{
    Actor, AppName, Bug, Change, Error, Instance, Platform, Progress, Settled, Timestamp, Username,
    conformance::{
        faults::{Faulty, Fuse},
        sim::{NoLogs, World, unpacker},
    },
    port::{LogStore, Router, Scheduler, Store, TaskRunner},
    store::MemoryStore,
};
use futures_util::FutureExt as _;

use super::deeds::Deed;

/// The state that is left when a platform process dies.
pub(super) struct Bench {
    pub(super) store: Arc<MemoryStore>,
    pub(super) world: World,
    pub(super) history: Vec<Attempted>,
    bug: Bug,
}

/// A deed, and what whoever did it was told.
#[derive(Clone, Debug)]
pub(super) struct Attempted {
    pub(super) deed: Deed,
    pub(super) answer: Answer,
    /// What ran when it was done.
    pub(super) running: Vec<Instance>,
    /// What whoever waited for it was told, if somebody did at once.
    pub(super) told: Option<Settled>,
}

/// What whoever did something was told.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// It is accepted.
    Acknowledged(Change),
    /// It is not possible.
    Refused(String),
    /// Nothing, or that the platform is not available: it happened or it did not.
    Unknown,
}

pub(super) fn app() -> AppName {
    AppName::new("blog").unwrap()
}

pub(super) fn actor() -> Actor {
    Actor::User { name: Username::new("ann").unwrap(), superuser: true }
}

impl Bench {
    /// An app to which all of `before` was done, each driven to rest without any fault.
    pub(super) async fn prepare(before: &[Deed], bug: Bug) -> Result<Self, String> {
        let store = Arc::new(MemoryStore::new());
        let mut bench = Self { store, world: World::new(), history: Vec::new(), bug };
        let platform = bench.platform(&Fuse::never());
        platform.session(actor()).create_app(app()).await.map_err(|e| e.to_string())?;
        bench.drive(&platform, || Ok(())).await?;
        for deed in before {
            bench.attempt(&platform, *deed).await;
            bench.drive(&platform, || Ok(())).await?;
            let told = bench.history.last().map(|attempted| bench.told(attempted)).transpose()?.flatten();
            match bench.history.last_mut() {
                Some(attempted) if told == Some(Settled::Done) => attempted.told = told,
                attempted => return Err(format!("the set-up fails: {attempted:?}: {told:?}")),
            }
        }
        Ok(bench)
    }

    /// The same state once more.
    pub(super) fn fork(&self) -> Self {
        Self {
            store: Arc::new(self.store.fork()),
            world: self.world.fork(),
            history: self.history.clone(),
            bug: self.bug,
        }
    }

    /// A platform process over this state.
    pub(super) fn platform(&self, fuse: &Fuse) -> Platform {
        let world = Arc::new(self.world.clone());
        Platform::builder()
            .store(Arc::new(Faulty::new(Arc::clone(&self.store) as Arc<dyn Store>, fuse)))
            .scheduler(Arc::new(Faulty::new(Arc::clone(&world) as Arc<dyn Scheduler>, fuse)))
            .router(Arc::new(Faulty::new(Arc::clone(&world) as Arc<dyn Router>, fuse)))
            .runner(Arc::new(Faulty::new(world as Arc<dyn TaskRunner>, fuse)))
            .logs(Arc::new(Faulty::new(Arc::new(NoLogs) as Arc<dyn LogStore>, fuse)))
            .unpacker(fuse.unpacker(&unpacker()))
            .clock(Arc::new(|| Timestamp(1_000_000)))
            .bug(self.bug)
            .build()
            .unwrap()
    }

    /// Does a deed and keeps what came of it, also if this future is dropped in the middle.
    pub(super) async fn attempt(&mut self, platform: &Platform, deed: Deed) {
        let running = self.world.instances(&app());
        self.history.push(Attempted { deed, answer: Answer::Unknown, running: running.clone(), told: None });
        let done = match platform.session(actor()).app(&app()).await {
            Ok(handle) => deed.carry_out(&handle, &running).await,
            Err(error) => Err(error),
        };
        let answer = match done {
            Ok(change) => Answer::Acknowledged(change),
            Err(Error::Unavailable(_)) => Answer::Unknown,
            Err(error) => Answer::Refused(error.to_string()),
        };
        if let Some(attempted) = self.history.last_mut() {
            attempted.answer = answer;
        }
    }

    /// What whoever waits for a deed is told at rest; `None` if nobody waits for it.
    pub(super) fn told(&self, attempted: &Attempted) -> Result<Option<Settled>, String> {
        let Answer::Acknowledged(change) = &attempted.answer else { return Ok(None) };
        if let Some(told) = &attempted.told {
            return Ok(Some(told.clone()));
        }
        let platform = self.platform(&Fuse::never());
        let wait = async { platform.session(actor()).app(&app()).await?.wait(change).await };
        let told = wait.now_or_never().ok_or_else(|| format!("{attempted:?} never ends"))?;
        told.map(Some).map_err(|e| format!("{attempted:?}: {e}"))
    }

    /// Passes until nothing more happens; `watch` looks on after each step.
    pub(super) async fn drive(
        &self,
        platform: &Platform,
        mut watch: impl FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let mut calm = 0;
        for _ in 0..2000 {
            let progress = platform.pass(&app()).await.unwrap_or(Progress::Blind);
            watch()?;
            match progress {
                Progress::Stepped => calm = 0,
                Progress::Gone => return Ok(()),
                Progress::Waiting | Progress::Blind | Progress::Resting => {
                    tokio::time::advance(Duration::from_secs(1)).await;
                    let moved = self.world.tick();
                    watch()?;
                    calm = if moved || progress != Progress::Resting { 0 } else { calm + 1 };
                    if calm > 2 {
                        return Ok(());
                    }
                }
            }
        }
        Err("it never comes to rest".to_owned())
    }

    /// Drives so many steps on; `false` if it came to rest before that.
    pub(super) async fn steps(&self, platform: &Platform, count: usize) -> Result<bool, String> {
        let mut resting = 0;
        for _ in 0..count {
            match platform.pass(&app()).await.map_err(|e| e.to_string())? {
                Progress::Stepped => {}
                Progress::Gone => return Ok(false),
                Progress::Resting if resting > 2 => return Ok(false),
                other => {
                    resting += usize::from(other == Progress::Resting);
                    self.world.tick();
                }
            }
        }
        Ok(true)
    }
}
