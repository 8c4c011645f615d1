//! What is done when a back end has seen newer numbers than the store knows.

use super::{Progress, pass::LoadedRollout, reconciler::Reconciler};
use crate::{
    error::Result,
    model::{Generation, Observation, Phase, RouteFence},
    port::StoreError,
    state::{
        apps::{AppState, HeldWorkloads, replace_workloads},
        keys,
        ledger::{AppChange, write_head},
        query::Query,
        record::Edits,
    },
};

impl Reconciler {
    /// Either another process has just begun a rollout – then reading again shows it – or the store is an old copy: then
    /// all numbers move above what was seen.
    pub(super) async fn reload_or_renumber(
        &self,
        loaded: LoadedRollout,
        seen: &Observation,
        published: Option<RouteFence>,
    ) -> Result<Progress> {
        let app = loaded.state.name().clone();
        let mut query = Query::new();
        let (slots, held) = (AppState::ask(&mut query, &app), HeldWorkloads::ask(&mut query, &app));
        let answers = query.read(self.store()).await?;
        let Some(mut state) = AppState::take(&answers, slots)? else { return Ok(Progress::AppGone) };
        let held = HeldWorkloads::take(&answers, held)?;
        let same_head = state.head.revision == loaded.state.head.revision;
        if !same_head || state.rollout.as_ref().map(|r| r.revision) != Some(loaded.rollout.revision) {
            return Ok(Progress::Advanced);
        }
        let mut rollout = loaded.rollout.value.clone();
        let g = rollout.generation.max(seen.generation).plus(1).max(rollout.generation.plus(3));
        if g == Generation::MAX || seen.generation == Generation::MAX {
            tracing::error!(%app, "a back end refuses this app for good; destroy it and create it anew");
            return Ok(Progress::Idle);
        }
        let mut all = loaded.workloads.clone();
        (all.target.generation, all.target_only.generation, all.fallback.generation) =
            (g, g.plus(1), g.plus(2));
        let routes = published
            .map_or(state.head.value.routes, |f| state.head.value.routes.max(f.routes.saturating_add(1)));
        rollout.generation = g;
        if rollout.phase == Phase::Routing {
            rollout.phase = Phase::Rolling;
        }
        state.head.value.generation = g;
        state.head.value.routes = routes;
        let mut edits = Edits::new();
        replace_workloads(&mut edits, &app, &held.workloads, &all, rollout.live_generation);
        edits.replace(keys::rollout(&app), loaded.rollout.revision, &rollout);
        let change = AppChange { rollout: Some(&rollout), ..AppChange::default() };
        write_head(&mut edits, &mut state, self.now(), change);
        match edits.commit(self.store()).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(Progress::Advanced),
            Err(error) => Err(error.into()),
        }
    }
}
