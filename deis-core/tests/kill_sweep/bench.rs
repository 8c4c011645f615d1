//! The harness: sets a scenario up, runs it with a fault, drives it to rest and asks the oracle.

use std::{sync::Arc, time::Duration};

use deis_core::{
    Actor, AppHandle, AppName, Bug, BuildSpec, Change, Digest, Error, Platform, ProcessType, Progress,
    Timestamp, Username,
    conformance::{
        faults::{Fault, Faulty, Fuse},
        sim::{NoLogs, World, unpacker},
    },
    port::{LogStore, Router, Scheduler, Store, TaskRunner},
    store::MemoryStore,
};
use futures_util::future::BoxFuture;

use super::oracle::{Expected, Oracle};

/// What a scenario does to an app. The answer is what was acknowledged.
pub(super) type Deed = fn(AppHandle) -> BoxFuture<'static, Result<Change, Error>>;

/// One scenario.
#[derive(Clone, Copy)]
pub(super) struct Scenario {
    /// What is there before: done without faults.
    pub(super) before: &'static [Deed],
    /// The change that is swept.
    pub(super) deed: Deed,
    /// What must have come of it.
    pub(super) expected: Expected,
}

/// State that outlives platform processes.
pub(super) struct Bench {
    pub(super) store: Arc<MemoryStore>,
    pub(super) world: World,
    pub(super) bug: Bug,
}

pub(super) fn app() -> AppName {
    AppName::new("blog").unwrap()
}

pub(super) fn actor() -> Actor {
    Actor::User { name: Username::new("ann").unwrap(), superuser: true }
}

/// A build whose processes run these commands; `tag` makes it differ from others.
pub(super) fn build(tag: &str, processes: &[(&str, &str)]) -> BuildSpec {
    let processes = processes.iter().map(|(p, c)| (ProcessType::new(*p).unwrap(), (*c).to_owned())).collect();
    BuildSpec::slug(Digest::of(tag.as_bytes()), processes)
}

impl Bench {
    pub(super) fn new(bug: Bug) -> Self {
        Self { store: Arc::new(MemoryStore::new()), world: World::new(), bug }
    }

    /// A platform process over the same store and world.
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

    /// Carries a scenario's `before` out.
    pub(super) async fn prepare(&self, before: &[Deed]) -> Result<(), String> {
        let platform = self.platform(&Fuse::never());
        let session = platform.session(actor());
        session.create_app(app()).await.map_err(|e| e.to_string())?;
        self.drive(&platform, || Ok(())).await?;
        for deed in before {
            let handle = session.app(&app()).await.map_err(|e| e.to_string())?;
            deed(handle).await.map_err(|e| format!("the set-up failed: {e}"))?;
            self.drive(&platform, || Ok(())).await?;
        }
        Ok(())
    }
}

/// All points of one scenario.
pub(super) struct Sweep {
    scenario: Scenario,
    bug: Bug,
}

impl Sweep {
    pub(super) fn new(scenario: Scenario) -> Self {
        Self { scenario, bug: Bug::None }
    }

    pub(super) fn with_bug(scenario: Scenario, bug: Bug) -> Self {
        Self { scenario, bug }
    }

    /// Strikes at every call until none is left; returns how many points there were.
    pub(super) async fn run(&self) -> Result<usize, String> {
        let mut points = 0;
        for fault in [Fault::DieBefore, Fault::DieAfter, Fault::FailBefore, Fault::FailAfter] {
            for forgets in [false, true] {
                for number in 0.. {
                    let at = format!("{fault:?} at call {number}, forgets: {forgets}");
                    let fuse = Fuse::at(number, fault);
                    let struck = self.once(&fuse, forgets).await.map_err(|e| format!("{at}: {e}"))?;
                    if !struck {
                        break;
                    }
                    points += 1;
                }
            }
        }
        Ok(points)
    }

    async fn once(&self, fuse: &Fuse, forgets: bool) -> Result<bool, String> {
        let bench = Bench::new(self.bug);
        bench.prepare(self.scenario.before).await?;
        let oracle = Oracle::new(&bench, self.scenario.expected).await?;
        let platform = bench.platform(fuse);
        let mut acknowledged = None;
        let work = async {
            let handle = platform.session(actor()).app(&app()).await;
            if let Ok(handle) = handle {
                acknowledged = (self.scenario.deed)(handle).await.ok();
            }
            bench.drive(&platform, || oracle.watch()).await
        };
        let ended = tokio::select! {
            ended = work => Some(ended),
            () = fuse.death() => None,
        };
        let died = ended.is_none();
        ended.unwrap_or(Ok(()))?;
        drop(platform);
        if forgets {
            bench.world.forget();
        }
        let next = bench.platform(&Fuse::never());
        bench.drive(&next, || if forgets { Ok(()) } else { oracle.watch() }).await?;
        oracle.judge(&next, acknowledged.as_ref(), died || fuse.struck()).await?;
        Ok(fuse.struck())
    }
}
