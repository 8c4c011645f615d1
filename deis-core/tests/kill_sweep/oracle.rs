//! What must hold while a scenario runs, and once it is over.

use std::sync::Arc;

use deis_core::{
    AppName, Change, Error, Outcome, PageQuery, Phase, Platform, ProcessType, ReleaseInfo,
    conformance::{faults::Fuse, sim::World},
    state::apps::AppState,
    store::MemoryStore,
};
use futures_util::FutureExt as _;

use super::bench::{Bench, actor, app};

/// What a scenario comes to when it is carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// Releases that the change makes.
    pub(super) releases: usize,
    /// Whether that release fails.
    pub(super) fails: bool,
    /// Ready web processes that must be there at any moment.
    pub(super) floor: usize,
    /// Ready web processes before, and after a change that took effect.
    pub(super) web: (usize, usize),
    /// Whether the app is gone afterwards.
    pub(super) gone: bool,
    /// Domains before, and after a change that took effect.
    pub(super) domains: (usize, usize),
}

/// Knows how it was before.
pub(super) struct Oracle {
    store: Arc<MemoryStore>,
    world: World,
    app: AppName,
    expected: Expected,
    releases: usize,
    runs: usize,
}

impl Oracle {
    pub(super) async fn new(bench: &Bench, expected: Expected) -> Result<Self, String> {
        let platform = bench.platform(&Fuse::never());
        let releases = releases(&platform).await?.len();
        let runs = bench.world.release_runs().len();
        Ok(Self {
            store: Arc::clone(&bench.store),
            world: bench.world.clone(),
            app: app(),
            expected,
            releases,
            runs,
        })
    }

    /// Never fewer ready processes than promised, and requests lead to some of them.
    pub(super) fn watch(&self) -> Result<(), String> {
        let floor = self.expected.floor;
        let ready = self.world.ready(&self.app, &ProcessType::web());
        if ready < floor {
            return Err(format!("only {ready} of {floor} processes are ready"));
        }
        self.routed_before_success()?;
        let Some(routes) = self.world.routes(&self.app).filter(|_| floor > 0) else { return Ok(()) };
        match routes.process {
            Some(process) if self.world.ready(&self.app, &process) > 0 => Ok(()),
            other => Err(format!("requests lead to {other:?}, of which nothing is ready")),
        }
    }

    /// A success that is on record is one that requests reach.
    fn routed_before_success(&self) -> Result<(), String> {
        let state = AppState::load(&*self.store, &self.app).now_or_never().expect("memory answers at once");
        let Some(rollout) = state.map_err(|e| e.to_string())?.and_then(|s| s.rollout) else { return Ok(()) };
        let fence = self.world.fence(&self.app).map(|f| f.generation);
        if rollout.value.phase == Phase::Succeeded && fence.is_some_and(|f| f < rollout.value.generation) {
            return Err("success is on record before the routes are published".to_owned());
        }
        Ok(())
    }

    /// Everything that must be true at rest.
    pub(super) async fn judge(
        &self,
        platform: &Platform,
        done: Option<&Change>,
        faulty: bool,
    ) -> Result<(), String> {
        let handle = match platform.session(actor()).app(&self.app).await {
            Ok(handle) => handle,
            Err(Error::NotFound { .. }) if self.expected.gone => return self.judge_gone(),
            Err(error) => return Err(format!("the app cannot be opened: {error}")),
        };
        if self.expected.gone && done.is_some() {
            return Err("an acknowledged destruction did not happen".to_owned());
        }
        let all = releases(platform).await?;
        let made = all.len() - self.releases;
        match (done, made) {
            (Some(_), made) if made != self.expected.releases => {
                return Err(format!("an acknowledged change made {made} releases"));
            }
            (None, made) if made > self.expected.releases => {
                return Err(format!("an unacknowledged change made {made} releases"));
            }
            (None, _) if !faulty => return Err("the change was refused without any fault".to_owned()),
            _ => {}
        }
        ledger(&all)?;
        let live = handle.info().await.map_err(|e| e.to_string())?.live;
        let newest = all.iter().find(|r| !r.outcome.as_ref().is_some_and(Outcome::is_failed));
        if live != newest.map(|r| r.release.version) {
            return Err(format!("live is {live:?}, the newest release that did not fail is {newest:?}"));
        }
        let happened = made > 0 || self.expected.releases == 0;
        // A release command that was interrupted fails its release, whatever it would have come to.
        let interrupted =
            all.first().is_some_and(|r| made > 0 && r.outcome.as_ref().is_some_and(Outcome::is_failed));
        if happened && made > 0 && !faulty && interrupted != self.expected.fails {
            return Err(format!("the release failed: {interrupted}"));
        }
        self.converged(done, happened && !interrupted)?;
        let mut runs = self.world.release_runs();
        let total = runs.len();
        runs.sort_unstable();
        runs.dedup();
        if runs.len() != total || total > self.runs + 1 {
            return Err("a release command ran twice".to_owned());
        }
        let domains = handle.domains().await.map_err(|e| e.to_string())?.len();
        let (before, after) = self.expected.domains;
        if !(domains == after || (done.is_none() && domains == before)) {
            return Err(format!("{domains} domains"));
        }
        let routed = self.world.routes(&self.app).map_or(0, |r| r.domains.len());
        if routed != domains {
            return Err(format!("{routed} of {domains} domains are routed"));
        }
        Ok(())
    }

    fn converged(&self, done: Option<&Change>, took_effect: bool) -> Result<(), String> {
        let ready = self.world.ready(&self.app, &ProcessType::web());
        let (before, after) = self.expected.web;
        let good =
            if done.is_some() && took_effect { ready == after } else { ready == before || ready == after };
        let all = self.world.instances(&self.app);
        if !good {
            return Err(format!("{ready} web processes are ready, {before} before, {after} wanted: {all:?}"));
        }
        if all.iter().any(|i| !i.is_ready()) {
            return Err(format!("something is not ready at rest: {all:?}"));
        }
        let mut templates: Vec<_> = all.iter().map(|i| (&i.process, &i.template)).collect();
        templates.dedup();
        let mut types: Vec<_> = templates.iter().map(|(process, _)| process).collect();
        types.dedup();
        if types.len() == templates.len() {
            Ok(())
        } else {
            Err(format!("two templates of one type run: {all:?}"))
        }
    }

    fn judge_gone(&self) -> Result<(), String> {
        if self.world.routes(&self.app).is_some() || !self.world.instances(&self.app).is_empty() {
            return Err("the app is gone, what it ran or routed is not".to_owned());
        }
        Ok(())
    }
}

/// Dense numbers, newest first, each with an outcome.
fn ledger(all: &[ReleaseInfo]) -> Result<(), String> {
    for (place, info) in all.iter().enumerate() {
        let number = usize::try_from(info.release.version.0).unwrap();
        if number != all.len() - place {
            return Err(format!("release {number} at place {place} of {}", all.len()));
        }
        if info.outcome.is_none() {
            return Err(format!("release v{number} has no outcome at rest"));
        }
    }
    Ok(())
}

async fn releases(platform: &Platform) -> Result<Vec<ReleaseInfo>, String> {
    let Ok(handle) = platform.session(actor()).app(&app()).await else { return Ok(Vec::new()) };
    let page = PageQuery { offset: 0, limit: 1000 };
    Ok(handle.releases(page).await.map_err(|e| e.to_string())?.items)
}
