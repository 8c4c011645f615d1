//! What must hold at every moment.

use std::sync::Arc;

use deis_core::{Phase, ProcessType, conformance::sim::World, state::apps::AppState, store::MemoryStore};
use futures_util::FutureExt as _;

use super::bench::{Bench, app};

/// Looks on while a scenario runs, deaths and forgetful back ends included.
pub(super) struct Watch {
    store: Arc<MemoryStore>,
    world: World,
    floor: usize,
}

impl Watch {
    /// `floor`: how many ready processes requests must be able to reach at any moment.
    pub(super) fn new(bench: &Bench, floor: usize) -> Self {
        Self { store: Arc::clone(&bench.store), world: bench.world.clone(), floor }
    }

    /// Never fewer ready processes than promised, and requests lead to them.
    pub(super) fn look(&self) -> Result<(), String> {
        self.routed_before_success()?;
        let ready = |process: &ProcessType| self.world.ready(&app(), process);
        let serving = match self.world.routes(&app()) {
            Some(routes) => routes.process.as_ref().map_or(0, ready),
            // A router that forgot lets requests wait.
            None => ready(&ProcessType::web()) + ready(&ProcessType::cmd()),
        };
        if serving >= self.floor {
            return Ok(());
        }
        let (routes, all) = (self.world.routes(&app()), self.world.instances(&app()));
        let all: Vec<_> = all.iter().map(|i| (i.name.as_str(), &i.state)).collect();
        Err(format!("{serving} of {} ready processes serve; {routes:?}, {all:?}", self.floor))
    }

    /// A success that is on record is one that requests reach.
    fn routed_before_success(&self) -> Result<(), String> {
        let state = AppState::load(&*self.store, &app()).now_or_never().expect("memory answers at once");
        let Some(rollout) = state.map_err(|e| e.to_string())?.and_then(|s| s.rollout) else { return Ok(()) };
        let fence = self.world.fence(&app()).map(|f| f.generation);
        if rollout.value.phase == Phase::Succeeded && fence.is_some_and(|f| f < rollout.value.generation) {
            return Err("success is on record before the routes are published".to_owned());
        }
        Ok(())
    }
}
