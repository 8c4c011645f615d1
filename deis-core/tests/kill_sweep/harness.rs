//! What outlives platform processes, and how a process is driven to rest.

use std::sync::Arc;

use deis_core::{
    Actor, AppName, Change, ChangeOutcome, Error, Platform, Timestamp, Username,
    conformance::{
        faults::{Faulty, Fuse},
        sim::{NoLogs, World},
    },
    model::Instance,
    port::{LogStore, Router, Scheduler, Store, TaskRunner, always_prepared},
    service::Progress,
    state::apps::AppState,
    store::MemoryStore,
};
use futures_util::FutureExt as _;

use super::{actions::Action, bugs::Bug};

/// The state that is left when a platform process dies.
pub(super) struct Harness {
    pub(super) store: Arc<MemoryStore>,
    pub(super) world: World,
    pub(super) history: Vec<Attempted>,
    bug: Bug,
}

/// What a platform process is put together from.
pub(super) struct BackEnds {
    pub(super) store: Arc<dyn Store>,
    pub(super) scheduler: Arc<dyn Scheduler>,
    pub(super) router: Arc<dyn Router>,
    pub(super) runner: Arc<dyn TaskRunner>,
}

/// Ticks without any change after which everything rests: more than a scheduler is seen late.
const CALM: u32 = 4;

/// An action, and what whoever did it was told.
#[derive(Clone, Debug)]
pub(super) struct Attempted {
    pub(super) action: Action,
    pub(super) answer: Answer,
    /// What ran when it was done.
    pub(super) running: Vec<Instance>,
    /// What whoever waited for it was told, if somebody did at once.
    pub(super) told: Option<ChangeOutcome>,
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

impl Harness {
    /// An app to which all of `before` was done, each driven to rest without any fault.
    pub(super) async fn prepare(before: &[Action], bug: Bug) -> Result<Self, String> {
        let store = Arc::new(MemoryStore::new());
        let mut harness = Self { store, world: World::new(), history: Vec::new(), bug };
        let platform = harness.platform(&Fuse::never());
        platform.session(actor()).create_app(app()).await.map_err(|e| e.to_string())?;
        harness.drive(&platform, || Ok(())).await?;
        for action in before {
            harness.attempt(&platform, *action).await;
            harness.drive(&platform, || Ok(())).await?;
            let told = harness.history.last().map(|attempted| harness.told(attempted)).transpose()?.flatten();
            match harness.history.last_mut() {
                Some(attempted) if told == Some(ChangeOutcome::Done) => attempted.told = told,
                attempted => return Err(format!("the set-up fails: {attempted:?}: {told:?}")),
            }
        }
        Ok(harness)
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

    /// A platform process over this state, which sees its scheduler at once.
    pub(super) fn platform(&self, fuse: &Fuse) -> Platform {
        self.process(fuse, 0)
    }

    /// A platform process over this state, which sees its scheduler so many ticks late.
    pub(super) fn process(&self, fuse: &Fuse, lag: usize) -> Platform {
        let world = Arc::new(self.world.clone());
        let scheduler: Arc<dyn Scheduler> = Arc::new(self.world.lagging(lag));
        let ends = BackEnds {
            store: Arc::clone(&self.store) as _,
            scheduler,
            router: Arc::clone(&world) as _,
            runner: world as _,
        };
        let ends = self.bug.plant(ends, &self.store, &self.world);
        Platform::builder()
            .store(Arc::new(Faulty::new(ends.store, fuse)))
            .scheduler(Arc::new(Faulty::new(ends.scheduler, fuse)))
            .router(Arc::new(Faulty::new(ends.router, fuse)))
            .runner(Arc::new(Faulty::new(ends.runner, fuse)))
            .logs(Arc::new(Faulty::new(Arc::new(NoLogs) as Arc<dyn LogStore>, fuse)))
            .preparer(fuse.preparer(&always_prepared()))
            .clock(Arc::new(|| Timestamp(1_000_000)))
            .build()
            .unwrap()
    }

    /// Does an action and keeps what came of it, also if this future is dropped in the middle.
    pub(super) async fn attempt(&mut self, platform: &Platform, action: Action) {
        let running = self.world.instances(&app());
        self.history.push(Attempted {
            action,
            answer: Answer::Unknown,
            running: running.clone(),
            told: None,
        });
        let done = match platform.session(actor()).app(&app()).await {
            Ok(handle) => action.carry_out(&handle, &running).await,
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

    /// What whoever waits for an action is told at rest; `None` if nobody waits for it.
    pub(super) fn told(&self, attempted: &Attempted) -> Result<Option<ChangeOutcome>, String> {
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
        let mut last = String::new();
        for _ in 0..4000 {
            let passed = platform.pass(&app()).await;
            last = format!("{passed:?}");
            let progress = passed.unwrap_or(Progress::BackendUnavailable);
            watch()?;
            match progress {
                Progress::Advanced => calm = 0,
                Progress::AppGone => return Ok(()),
                Progress::Waiting | Progress::BackendUnavailable | Progress::Idle => {
                    tokio::time::advance(self.world.tick_length()).await;
                    let moved = self.world.tick();
                    watch()?;
                    calm = if moved || progress != Progress::Idle { 0 } else { calm + 1 };
                    if calm > CALM {
                        return Ok(());
                    }
                }
            }
        }
        let state = AppState::load(&*self.store, &app()).await;
        let rollout = state.ok().flatten().and_then(|state| state.rollout);
        Err(format!("it never comes to rest: {last}, {rollout:?}, {:?}", self.world.instances(&app())))
    }

    /// Drives so many steps on; `false` if it came to rest before that.
    pub(super) async fn steps(
        &self,
        platform: &Platform,
        count: usize,
        watch: impl Fn() -> Result<(), String>,
    ) -> Result<bool, String> {
        let mut resting = 0;
        for _ in 0..count {
            let progress = platform.pass(&app()).await.map_err(|e| e.to_string())?;
            watch()?;
            match progress {
                Progress::Advanced => {}
                Progress::AppGone => return Ok(false),
                Progress::Idle if resting > CALM => return Ok(false),
                other => {
                    resting += u32::from(other == Progress::Idle);
                    self.world.tick();
                    watch()?;
                }
            }
        }
        Ok(true)
    }
}
