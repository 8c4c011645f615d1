//! What a client of the app, and whoever looks at it, must never see.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use deis_core::{
    ProcessType,
    conformance::sim::World,
    model::{AppStatus, AppUid, Generation, Phase, Rollout, Workload},
    port::{Revision, StoreExt as _},
    state::{apps::AppState, keys, record::get},
    store::MemoryStore,
};
use futures_util::FutureExt as _;

use super::harness::{Harness, app};

/// How many ticks it may take until everything is as it was after instances were lost: a scheduler starts one at a
/// time.
const HEALS_IN: u64 = 16;

/// Looks on while a scenario runs, deaths and forgetful back ends included.
pub(super) struct Watch {
    store: Arc<MemoryStore>,
    world: World,
    /// The life of the app that is watched.
    uid: Option<AppUid>,
    floor: usize,
    seen: Mutex<Seen>,
    /// What was read last: most looks find nothing new on record.
    read: Mutex<Option<(Revisions, Records)>>,
}

/// What tells whether the records of the app have changed.
type Revisions = [Option<Revision>; 2];

/// What is on record of the app.
#[derive(Clone)]
struct Records {
    state: AppState,
    /// The workload that proved itself last.
    serving: Option<Workload>,
    /// What the newest rollout leads to.
    target: Option<Workload>,
}

/// What there was of the processes that were live.
#[derive(Default)]
struct Seen {
    /// The workload that serves.
    serving: Generation,
    /// Most ready instances of each of its types.
    reached: BTreeMap<ProcessType, usize>,
    /// The smallest scale of each that anybody asked for since.
    lowest: BTreeMap<ProcessType, usize>,
}

impl Watch {
    /// `floor`: how many ready processes requests must be able to reach at any moment.
    pub(super) fn new(harness: &Harness, floor: usize) -> Self {
        let watch = Self {
            store: Arc::clone(&harness.store),
            world: harness.world.clone(),
            uid: None,
            floor,
            seen: Mutex::default(),
            read: Mutex::default(),
        };
        let uid = watch.records().ok().flatten().map(|records| records.state.head.value.uid);
        Self { uid, ..watch }
    }

    /// Whoever was served is served, nothing that proved itself becomes less, no two release commands run at once, and
    /// nothing is left of an app that is gone.
    pub(super) fn look(&self) -> Result<(), String> {
        if let Some(broken) = self.world.violations().first() {
            return Err(broken.clone());
        }
        match self.records()? {
            Some(records) if Some(records.state.head.value.uid) == self.uid => {
                if records.state.head.value.state == AppStatus::Destroying {
                    return Ok(());
                }
                self.routed_before_success(&records.state)?;
                if records.serving.as_ref().is_some_and(|serving| self.failed_later(serving)) {
                    return Ok(());
                }
                self.served()?;
                self.never_fewer(&records)
            }
            _ => self.nothing_remains(),
        }
    }

    fn records(&self) -> Result<Option<Records>, String> {
        let revision = |key| {
            let found = self.store.get(&key).now_or_never().expect("memory answers at once");
            found.ok().flatten().map(|record| record.revision)
        };
        let revisions = [keys::head(&app()), keys::rollout(&app())].map(revision);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, records)) = read.as_ref().filter(|(known, _)| *known == revisions) {
            return Ok(Some(records.clone()));
        }
        let state = AppState::load(&*self.store, &app()).now_or_never().expect("memory answers at once");
        let Some(state) = state.map_err(|e| e.to_string())? else { return Ok(None) };
        let rollout = state.rollout.as_ref().map(|rollout| rollout.value.clone());
        let (serving, target) = match rollout {
            Some(rollout) => {
                (self.workload(serving_generation(&rollout))?, self.workload(rollout.generation.plus(1))?)
            }
            None => (None, None),
        };
        let records = Records { state, serving, target };
        *read = Some((revisions, records.clone()));
        Ok(Some(records))
    }

    fn is_healing(&self) -> bool {
        self.world.lost_within(HEALS_IN) > 0
    }

    /// Requests lead to a type with as many ready processes as promised.
    fn served(&self) -> Result<(), String> {
        let ready = |process: &ProcessType| self.world.ready(&app(), process);
        let serving = match self.world.routes(&app()) {
            Some(routes) => routes.process.as_ref().map_or(0, ready),
            // A router that forgot lets requests wait.
            None => ready(&ProcessType::web()) + ready(&ProcessType::cmd()),
        };
        // Where instances were lost there are fewer for a while.
        let floor = self.floor.saturating_sub(self.world.lost_within(HEALS_IN));
        if serving >= floor {
            return Ok(());
        }
        let (routes, all) = (self.world.routes(&app()), self.world.instances(&app()));
        let all: Vec<_> = all.iter().map(|i| (i.name.as_str(), &i.state)).collect();
        Err(format!("{serving} of {floor} ready processes serve; {routes:?}, {all:?}"))
    }

    /// Its instances began to fail when it was live already: nobody can go back then.
    fn failed_later(&self, serving: &Workload) -> bool {
        serving.groups.values().any(|group| self.world.is_spoiled(&group.id))
    }

    /// A success that is on record is one that requests reach.
    fn routed_before_success(&self, state: &AppState) -> Result<(), String> {
        let Some(rollout) = &state.rollout else { return Ok(()) };
        let fence = self.world.fence(&app()).map(|f| f.generation);
        if rollout.value.phase == Phase::Succeeded && fence.is_some_and(|f| f < rollout.value.generation) {
            return Err("success is on record before the routes are published".to_owned());
        }
        Ok(())
    }

    /// Of each type that is live there are never fewer ready instances than there were, unless somebody asked for
    /// fewer. One that the new release lacks stays until that is live.
    fn never_fewer(&self, records: &Records) -> Result<(), String> {
        let Some(serving) = &records.serving else { return Ok(()) };
        let scale = |workload: &Workload, process| {
            let group = workload.groups.get(process)?;
            usize::try_from(group.scale).ok()
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.serving != serving.generation {
            *seen = Seen { serving: serving.generation, ..Seen::default() };
        }
        for process in serving.groups.keys() {
            let ready = self.world.ready(&app(), process);
            let wanted = [Some(serving), records.target.as_ref()].into_iter().flatten();
            let wanted = wanted.filter_map(|workload| scale(workload, process)).min().unwrap_or(0);
            let lowest = seen.lowest.entry(process.clone()).or_insert(wanted);
            *lowest = wanted.min(*lowest);
            let lowest = *lowest;
            let reached = seen.reached.entry(process.clone()).or_insert(0);
            *reached = if self.is_healing() { ready } else { ready.max(*reached) };
            let floor = lowest.min(*reached);
            if ready < floor {
                let phase = records.state.rollout.as_ref().map(|rollout| rollout.value.phase.name());
                return Err(format!("{ready} of {floor} {process} are ready; {phase:?}"));
            }
        }
        Ok(())
    }

    fn workload(&self, generation: Generation) -> Result<Option<Workload>, String> {
        let key = keys::workload(&app(), generation);
        let read = get::<Workload>(&*self.store, &key).now_or_never().expect("memory answers at once");
        read.map(|found| found.map(|stored| stored.value)).map_err(|e| e.to_string())
    }

    fn nothing_remains(&self) -> Result<(), String> {
        let remains = self.uid.map(|uid| self.world.remains(uid)).unwrap_or_default();
        if remains.is_empty() {
            return Ok(());
        }
        Err(format!("the app is gone, and these are not: {remains:?}"))
    }
}

/// Generation of the workload that proved itself last.
fn serving_generation(rollout: &Rollout) -> Generation {
    match rollout.phase {
        Phase::Succeeded => rollout.generation.plus(1),
        _ => rollout.live_generation,
    }
}
