//! What is on record, read past the engine's own judgement.

use std::collections::BTreeSet;

use deis_core::{
    Digest, DomainName, ReleaseVersion,
    model::{Domain, Event, EventKind, Formation, Outcome, Release, RouteFence},
    port::Scan,
    state::{
        apps::{AppState, LoadedRelease, load_release, outcome},
        record::scan,
    },
};

use crate::{
    actions::{TestBuild, config_key},
    harness::{Harness, app},
};

/// What a release runs, as far as actions can change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) build: Option<TestBuild>,
    pub(super) value: Option<u32>,
}

/// A release on record.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) release: Release,
    pub(super) content: Content,
    pub(super) outcome: Outcome,
}

/// All records of the app that the oracle judges by.
pub(super) struct Records {
    /// Oldest first.
    pub(super) releases: Vec<Known>,
    pub(super) live: Option<ReleaseVersion>,
    pub(super) formation: Formation,
    pub(super) domains: BTreeSet<DomainName>,
    /// Releases whose rollout got as far as the rolling phase: their release command had ended well.
    pub(super) rolled: BTreeSet<ReleaseVersion>,
    /// Fence that the routes have at rest at least.
    pub(super) fence: RouteFence,
}

impl Records {
    /// Reads them; `None` if there is no app.
    pub(super) async fn read(harness: &Harness) -> Result<Option<Self>, String> {
        let store = &*harness.store;
        let text = |e: deis_core::port::StoreError| e.to_string();
        let Some(state) = AppState::load(store, &app()).await.map_err(text)? else { return Ok(None) };
        if let Some(open) = state.unfinished() {
            return Err(format!("a rollout is unfinished at rest: {open:?}"));
        }
        let mut releases = Vec::new();
        for number in 1..=state.head.value.latest.0 {
            let version = ReleaseVersion(number);
            let loaded = load_release(store, &app(), version).await.map_err(text)?;
            let loaded = loaded.ok_or_else(|| format!("{version} is missing"))?;
            let outcome = outcome(store, &app(), version).await.map_err(text)?;
            let outcome = outcome.ok_or_else(|| format!("{version} has no outcome at rest"))?;
            releases.push(Known { content: content(&loaded)?, release: loaded.release, outcome });
        }
        let count = scan::<Release>(store, &Scan::prefix("release/blog/")).await.map_err(text)?.len();
        if count != releases.len() {
            return Err(format!("{count} releases are on record, the newest is v{}", releases.len()));
        }
        let events = scan::<Event>(store, &Scan::prefix("event/blog/")).await.map_err(text)?;
        let rolling = |event: &Event| match &event.kind {
            EventKind::RolloutPhase { version, phase } if phase == "rolling" => Some(*version),
            _ => None,
        };
        let domains = scan::<Domain>(store, &Scan::prefix("app-domain/blog/")).await.map_err(text)?;
        Ok(Some(Self {
            releases,
            live: state.head.value.live,
            domains: domains.into_iter().map(|(_, stored)| stored.value.name).collect(),
            rolled: events.iter().filter_map(|(_, event)| rolling(&event.value)).collect(),
            fence: RouteFence {
                routes: state.head.value.routes,
                generation: state.rollout.map(|r| r.value.generation).unwrap_or_default(),
            },
            formation: state.formation.value,
        }))
    }

    /// The release with this number.
    pub(super) fn version(&self, version: ReleaseVersion) -> Option<&Known> {
        self.releases.iter().find(|known| known.release.version == version)
    }
}

fn content(loaded: &LoadedRelease) -> Result<Content, String> {
    let build = match loaded.build.as_ref().map(|known| known.spec.artifact.digest()) {
        Some(digest) => Some(build(digest)?),
        None => None,
    };
    let value = loaded.config.data.values.get(&config_key());
    let value =
        value.map(|text| text.expose().parse()).transpose().map_err(|_| "a config value is damaged")?;
    Ok(Content { build, value })
}

fn build(digest: &Digest) -> Result<TestBuild, String> {
    TestBuild::of(digest).ok_or_else(|| format!("nobody deployed {digest:?}"))
}
