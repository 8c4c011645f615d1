//! The records of one app, read and written together.

use std::collections::BTreeSet;

use super::{
    envelope::StoredKind,
    events, keys,
    record::{Edits, Stored, get, scan},
};
use crate::{
    model::{
        App, AppName, AppRef, Attempt, Build, BuildId, Config, Domain, Event, EventKind, Formation,
        Generation, Head, Outcome, Push, Release, ReleaseVersion, Rollout, Timestamp, Username, Workload,
    },
    plan::lower::Workloads,
    port::{Key, Order, Scan, Store, StoreError},
};

/// How often an app that is replaced by another of its name while it is read is read again.
const RELOADS: usize = 3;

/// What every change of an app reads first.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The app.
    pub app: Stored<App>,
    /// Its head.
    pub head: Stored<Head>,
    /// Its formation.
    pub formation: Stored<Formation>,
    /// Its newest rollout.
    pub rollout: Option<Stored<Rollout>>,
}

impl AppState {
    /// Reads it; `None` if there is no such app.
    pub async fn load(store: &dyn Store, app: &AppName) -> Result<Option<Self>, StoreError> {
        for _ in 0..RELOADS {
            let Some(head) = get::<Head>(store, &keys::head(app)).await? else { return Ok(None) };
            let (Some(record), Some(formation)) =
                (get::<App>(store, &keys::app(app)).await?, get(store, &keys::formation(app)).await?)
            else {
                return Ok(None);
            };
            // The app went, and one of its name came, between the reads: the two lives must never be mixed.
            if head.value.uid == record.value.uid {
                let rollout = get(store, &keys::rollout(app)).await?;
                return Ok(Some(Self { app: record, head, formation, rollout }));
            }
        }
        Err(StoreError::Corrupt { key: keys::head(app), source: "it is of another app than its name".into() })
    }

    /// Name of the app.
    pub fn name(&self) -> &AppName {
        &self.app.value.name
    }

    /// The app as back ends know it.
    pub fn reference(&self) -> AppRef {
        self.app.value.reference()
    }

    /// The rollout that has not ended.
    pub fn unfinished(&self) -> Option<&Rollout> {
        self.rollout.as_ref().map(|r| &r.value).filter(|r| !r.phase.is_terminal())
    }

    /// The release that a new one starts from: the target of an unfinished rollout that still goes forward,
    /// else live, else the newest.
    pub fn base(&self) -> ReleaseVersion {
        let forward = self.unfinished().filter(|r| !matches!(r.phase, crate::model::Phase::Reverting { .. }));
        forward.map(|r| r.target).or(self.head.value.live).unwrap_or(self.head.value.latest)
    }

    /// Adds an event of this app to a batch.
    pub fn event(&self, edits: &mut Edits, at: Timestamp, by: Option<&Username>, kind: EventKind) {
        let event = Event { at, by: by.cloned(), app: Some(self.name().clone()), kind };
        events::append(edits, &event);
    }
}

/// A release with what it refers to.
#[derive(Clone, Debug)]
pub struct LoadedRelease {
    /// The release.
    pub release: Release,
    /// Its build.
    pub build: Option<Build>,
    /// Its config.
    pub config: Config,
}

/// Reads a release with its build and config.
pub async fn load_release(
    store: &dyn Store,
    app: &AppName,
    version: ReleaseVersion,
) -> Result<Option<LoadedRelease>, StoreError> {
    let Some(release) = get::<Release>(store, &keys::release(app, version)).await?.map(|s| s.value) else {
        return Ok(None);
    };
    let build = match release.build {
        Some(id) => Some(must(build_by_id(store, app, id).await?, "build", app)?),
        None => None,
    };
    let config = get::<Config>(store, &keys::config(app, release.config)).await?.map(|s| s.value);
    Ok(Some(LoadedRelease { config: must(config, "config", app)?, release, build }))
}

/// A record that another one refers to, so that its absence is damage.
fn must<T>(value: Option<T>, what: &str, app: &AppName) -> Result<T, StoreError> {
    let gone =
        || StoreError::Corrupt { key: keys::app(app), source: format!("a {what} of it is missing").into() };
    value.ok_or_else(gone)
}

/// Reads a build by its id.
pub async fn build_by_id(store: &dyn Store, app: &AppName, id: BuildId) -> Result<Option<Build>, StoreError> {
    let Some(seq) = get::<u32>(store, &keys::build_id(app, id)).await? else { return Ok(None) };
    Ok(get::<Build>(store, &keys::build(app, seq.value)).await?.map(|s| s.value))
}

/// Which build a release runs.
pub async fn build_of(
    store: &dyn Store,
    app: &AppName,
    version: ReleaseVersion,
) -> Result<Option<BuildId>, StoreError> {
    Ok(get::<Release>(store, &keys::release(app, version)).await?.and_then(|r| r.value.build))
}

/// Reads a release's outcome.
pub async fn outcome(
    store: &dyn Store,
    app: &AppName,
    version: ReleaseVersion,
) -> Result<Option<Outcome>, StoreError> {
    Ok(get::<Outcome>(store, &keys::outcome(app, version)).await?.map(|s| s.value))
}

/// Reads a workload.
pub async fn workload(
    store: &dyn Store,
    app: &AppName,
    g: Generation,
) -> Result<Option<Workload>, StoreError> {
    Ok(get::<Workload>(store, &keys::workload(app, g)).await?.map(|s| s.value))
}

/// Reads the three workloads of a rollout at `g`.
pub async fn workloads(store: &dyn Store, app: &AppName, g: Generation) -> Result<Workloads, StoreError> {
    let read = async |n| must(workload(store, app, g.plus(n)).await?, "workload", app);
    Ok(Workloads { target: read(0).await?, settled: read(1).await?, fallback: read(2).await? })
}

/// Writes the three workloads of a rollout and removes all that neither it nor live names.
pub async fn replace_workloads(
    store: &dyn Store,
    edits: &mut Edits,
    app: &AppName,
    workloads: &Workloads,
    live: Generation,
) -> Result<(), StoreError> {
    let fresh = [&workloads.target, &workloads.settled, &workloads.fallback];
    let kept: BTreeSet<_> = fresh.iter().map(|w| w.generation).chain([live]).collect();
    let known = scan::<Workload>(store, &Scan::prefix(keys::below("workload", app))).await?;
    for (key, stored) in &known {
        if !kept.contains(&stored.value.generation) {
            edits.delete(key.clone(), stored.revision);
        }
    }
    for workload in fresh {
        let key = keys::workload(app, workload.generation);
        let read = known.iter().find(|(k, _)| *k == key).map(|(_, s)| s.revision);
        edits.upsert(key, read, workload);
    }
    Ok(())
}

/// The newest `limit` records of one kind below an app that stand before `before`, newest first.
pub async fn newest<T: StoredKind>(
    store: &dyn Store,
    kind: &str,
    app: &AppName,
    before: Key,
    limit: usize,
) -> Result<Vec<(Key, T)>, StoreError> {
    let order = Order::KeyDesc { after: Some(before) };
    let found = scan::<T>(store, &Scan::prefix(keys::below(kind, app)).order(order).limit(limit)).await?;
    Ok(found.into_iter().map(|(key, stored)| (key, stored.value)).collect())
}

/// The domains of an app, by name.
pub async fn domains(store: &dyn Store, app: &AppName) -> Result<Vec<Stored<Domain>>, StoreError> {
    let found = scan::<Domain>(store, &Scan::prefix(keys::below("app-domain", app))).await?;
    Ok(found.into_iter().map(|(_, stored)| stored).collect())
}

/// The open push of an app.
pub async fn push(store: &dyn Store, app: &AppName) -> Result<Option<Stored<Push>>, StoreError> {
    get(store, &keys::push(app)).await
}

/// Fence of the release commands of a release that is made in the batch of generation `g`.
pub fn attempt(g: Generation) -> Attempt {
    Attempt(g.0)
}
