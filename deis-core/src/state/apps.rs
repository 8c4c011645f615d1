//! The records of one app, read and written together.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    events, keys,
    query::{Answers, Keys, Many, One, Query},
    record::{Edits, Stored, get},
};
use crate::{
    model::{
        App, AppName, AppRef, Attempt, Build, BuildId, Config, DomainName, Event, EventKind, Formation,
        Generation, Head, Outcome, Phase, Push, Release, ReleaseRef, ReleaseVersion, Rollout, Timestamp,
        Username, Workload,
    },
    plan::{formation::structure_of, lower::Workloads},
    port::{Key, Order, Revision, Scan, Store, StoreError},
};

/// So many ends of rollouts are kept for whoever still waits for one.
const ENDS_KEPT: usize = 32;
/// Most of the older ones that one batch removes.
const ENDS_DROPPED: usize = 100;

/// What every change of an app reads first, all of it from one moment.
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
    /// Its open push.
    pub push: Option<Stored<Push>>,
    /// What a change of this state has done to the routes so far, in order: `head.routes` has risen by as many.
    pub raised: Vec<RoutesChange>,
}

/// Why the number of an app's routes rises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutesChange {
    /// An unfinished rollout is superseded; the domains stay as they are.
    SameDomains,
    /// A domain is added.
    Added(DomainName),
    /// A domain is removed, of this very name.
    Removed(DomainName),
}

/// Where the records of an [`AppState`] are among the answers to a query.
#[derive(Clone, Copy, Debug)]
pub struct AppSlots {
    app: One<App>,
    head: One<Head>,
    formation: One<Formation>,
    rollout: One<Rollout>,
    push: One<Push>,
}

impl AppState {
    /// Reads it; `None` if there is no such app.
    ///
    /// # Errors
    /// Those of [`Store::read`], and [`StoreError::Corrupt`] for records that do not belong together.
    pub async fn load(store: &dyn Store, app: &AppName) -> Result<Option<Self>, StoreError> {
        let mut query = Query::new();
        let slots = Self::ask(&mut query, app);
        Self::take(&query.read(store).await?, slots)
    }

    /// Adds what it consists of to a query.
    pub fn ask(query: &mut Query, app: &AppName) -> AppSlots {
        AppSlots {
            app: query.get(keys::app(app)),
            head: query.get(keys::head(app)),
            formation: query.get(keys::formation(app)),
            rollout: query.get(keys::rollout(app)),
            push: query.get(keys::push(app)),
        }
    }

    /// Takes it from the answers; `None` if there is no such app.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for records that cannot be read or do not belong together.
    pub fn take(answers: &Answers, slots: AppSlots) -> Result<Option<Self>, StoreError> {
        let (Some(app), Some(head), Some(formation)) =
            (answers.one(slots.app)?, answers.one(slots.head)?, answers.one(slots.formation)?)
        else {
            return Ok(None);
        };
        if head.value.uid != app.value.uid {
            let key = keys::head(&app.value.name);
            return Err(StoreError::Corrupt { key, source: "it is of another app than its name".into() });
        }
        let (rollout, push) = (answers.one(slots.rollout)?, answers.one(slots.push)?);
        Ok(Some(Self { app, head, formation, rollout, push, raised: Vec::new() }))
    }

    /// Raises `head.routes`, so that the routes are published anew whatever was published before. Every batch that
    /// changes domains does.
    pub fn raise_routes(&mut self, change: RoutesChange) {
        self.head.value.routes += 1;
        self.raised.push(change);
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
        base_of(&self.head.value, self.rollout.as_ref().map(|r| &r.value))
    }

    /// Writes the app's record as it is once the batch applies: lists read nothing else. `rollout` is the app's
    /// rollout then, `made` the release that the batch makes, `changed` when somebody changed the app by it.
    pub fn write_app(
        &mut self,
        edits: &mut Edits,
        rollout: Option<&Rollout>,
        made: Option<ReleaseRef>,
        changed: Option<Timestamp>,
    ) {
        let base = base_of(&self.head.value, rollout);
        let app = &mut self.app.value;
        app.updated = changed.unwrap_or(app.updated);
        let summary = &mut app.summary;
        summary.state = self.head.value.state;
        summary.next = made.or_else(|| summary.next.take());
        if let Some(next) = summary.next.take() {
            if self.head.value.live == Some(next.version) {
                summary.live = next;
            } else if next.version == base {
                summary.next = Some(next);
            }
        }
        summary.structure = structure_of(&self.formation.value, &summary.current().types);
        edits.replace(keys::app(&app.name), self.app.revision, app);
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

/// The release that a change starts from, and what the start of a rollout needs to know.
#[derive(Clone, Debug)]
pub struct Base {
    /// The release.
    pub release: LoadedRelease,
    /// What is held of earlier rollouts.
    pub held: HeldWorkloads,
}

/// What is held of an app's rollouts.
#[derive(Clone, Debug, Default)]
pub struct HeldWorkloads {
    /// All workloads.
    pub workloads: Vec<(Key, Stored<Workload>)>,
    /// Ends of rollouts that nobody waits for any more.
    pub old_ends: Vec<(Key, Revision)>,
}

/// Where the records of a [`HeldWorkloads`] are among the answers to a query.
#[derive(Clone, Copy, Debug)]
pub struct HeldSlots(Many<Workload>, Keys);

impl HeldWorkloads {
    /// Adds what it consists of to a query.
    pub fn ask(query: &mut Query, app: &AppName) -> HeldSlots {
        let ends = Scan::prefix(keys::below("ended", app)).order(Order::NEWEST_FIRST);
        HeldSlots(
            query.scan(Scan::prefix(keys::below("workload", app))),
            query.keys(ends.skip(ENDS_KEPT).limit(ENDS_DROPPED)),
        )
    }

    /// Takes it from the answers.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a workload that cannot be read.
    pub fn take(answers: &Answers, slots: HeldSlots) -> Result<Self, StoreError> {
        Ok(Self { workloads: answers.many(slots.0)?, old_ends: answers.keys(slots.1).collect() })
    }

    /// The workload of a generation.
    pub fn workload(&self, g: Generation) -> Option<&Workload> {
        self.workloads.iter().map(|(_, stored)| &stored.value).find(|workload| workload.generation == g)
    }

    /// The three workloads of a rollout at `g`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if one is missing.
    pub(crate) fn of_rollout(&self, app: &AppName, g: Generation) -> Result<Workloads, StoreError> {
        let read = |n| must(self.workload(g.plus(n)).cloned(), "workload", app);
        Ok(Workloads { target: read(0)?, target_only: read(1)?, fallback: read(2)? })
    }
}

/// Reads the base of a change that starts from `state`; `None` if the app has been changed since that was read.
///
/// # Errors
/// Those of [`Store::read`], and [`StoreError::Corrupt`] for what is missing.
pub async fn load_base(store: &dyn Store, state: &AppState) -> Result<Option<Base>, StoreError> {
    Ok(load_base_with(store, state, None).await?.map(|(base, _)| base))
}

/// The same, with a further release in the same call.
///
/// # Errors
/// Those of [`load_base`].
pub async fn load_base_with(
    store: &dyn Store,
    state: &AppState,
    other: Option<&ReleaseRef>,
) -> Result<Option<(Base, Option<LoadedRelease>)>, StoreError> {
    let app = state.name();
    let mut query = Query::new();
    let head = query.get::<Head>(keys::head(app));
    // Before its first rollout an app has none of this, and what is left to read are single records.
    let earlier = (state.head.value.generation > Generation(0)).then(|| HeldWorkloads::ask(&mut query, app));
    let base = RefSlots::ask(&mut query, app, state.app.value.summary.current());
    let other = other.map(|other| RefSlots::ask(&mut query, app, other));
    let answers = query.read(store).await?;
    if answers.one(head)?.map(|head| head.revision) != Some(state.head.revision) {
        return Ok(None);
    }
    let release = must(base.take(&answers, app)?, "release", app)?;
    let other = match other {
        Some(slots) => slots.take(&answers, app)?,
        None => None,
    };
    let earlier = earlier.map(|slots| HeldWorkloads::take(&answers, slots)).transpose()?.unwrap_or_default();
    Ok(Some((Base { release, held: earlier }, other)))
}

/// Where a release with its build and config is among the answers to a query.
#[derive(Clone, Copy, Debug)]
struct RefSlots {
    release: One<Release>,
    build: Option<One<Build>>,
    config: One<Config>,
}

impl RefSlots {
    fn ask(query: &mut Query, app: &AppName, of: &ReleaseRef) -> Self {
        Self {
            release: query.get(keys::release(app, of.version)),
            build: of.build.map(|seq| query.get(keys::build(app, seq))),
            config: query.get(keys::config(app, of.config)),
        }
    }

    fn take(self, answers: &Answers, app: &AppName) -> Result<Option<LoadedRelease>, StoreError> {
        let Some(release) = answers.one(self.release)? else { return Ok(None) };
        let build = match self.build {
            Some(slot) => Some(must(answers.one(slot)?, "build", app)?.value),
            None => None,
        };
        let config = must(answers.one(self.config)?, "config", app)?.value;
        Ok(Some(LoadedRelease { release: release.value, build, config }))
    }
}

/// Reads the release that an app's record refers to, with its build and config.
///
/// # Errors
/// Those of [`Store::read`], and [`StoreError::Corrupt`] for what is missing.
pub async fn load_referred(
    store: &dyn Store,
    app: &AppName,
    of: &ReleaseRef,
) -> Result<Option<LoadedRelease>, StoreError> {
    let mut query = Query::new();
    let slots = RefSlots::ask(&mut query, app, of);
    slots.take(&query.read(store).await?, app)
}

/// Reads any release with its build and config.
///
/// # Errors
/// Those of [`Store::read`], and [`StoreError::Corrupt`] for what is missing.
pub async fn load_release(
    store: &dyn Store,
    app: &AppName,
    version: ReleaseVersion,
) -> Result<Option<LoadedRelease>, StoreError> {
    let Some(release) = get::<Release>(store, &keys::release(app, version)).await? else { return Ok(None) };
    load_referred(store, app, &reference_to(&release.value)).await
}

/// What a release refers to. Its commands stay with the build.
pub fn reference_to(release: &Release) -> ReleaseRef {
    ReleaseRef {
        version: release.version,
        config: release.config,
        build: release.build_seq,
        processes: BTreeMap::new(),
        types: BTreeSet::new(),
    }
}

/// The release that a change starts from, as the head and a rollout say.
fn base_of(head: &Head, rollout: Option<&Rollout>) -> ReleaseVersion {
    let unfinished = rollout.filter(|r| !r.phase.is_terminal());
    let forward = unfinished.filter(|r| !matches!(r.phase, Phase::Reverting { .. }));
    forward.map(|r| r.target).or(head.live).unwrap_or(head.latest)
}

/// A record that another one refers to, so that its absence is damage.
fn must<T>(value: Option<T>, what: &str, app: &AppName) -> Result<T, StoreError> {
    let gone =
        || StoreError::Corrupt { key: keys::app(app), source: format!("a {what} of it is missing").into() };
    value.ok_or_else(gone)
}

/// Reads a build by its id.
///
/// # Errors
/// Those of [`Store::read`].
pub async fn build_by_id(store: &dyn Store, app: &AppName, id: BuildId) -> Result<Option<Build>, StoreError> {
    let Some(seq) = get::<u32>(store, &keys::build_id(app, id)).await? else { return Ok(None) };
    Ok(get::<Build>(store, &keys::build(app, seq.value)).await?.map(|s| s.value))
}

/// Reads a release's outcome.
///
/// # Errors
/// Those of [`Store::read`].
pub async fn outcome(
    store: &dyn Store,
    app: &AppName,
    version: ReleaseVersion,
) -> Result<Option<Outcome>, StoreError> {
    Ok(get::<Outcome>(store, &keys::outcome(app, version)).await?.map(|s| s.value))
}

/// Writes the three workloads of a rollout and removes all that neither it nor live names.
pub(crate) fn replace_workloads(
    edits: &mut Edits,
    app: &AppName,
    known: &[(Key, Stored<Workload>)],
    workloads: &Workloads,
    live: Generation,
) {
    let fresh = [&workloads.target, &workloads.target_only, &workloads.fallback];
    let kept: BTreeSet<_> = fresh.iter().map(|w| w.generation).chain([live]).collect();
    for (key, stored) in known {
        if !kept.contains(&stored.value.generation) {
            edits.delete(key.clone(), stored.revision);
        }
    }
    for workload in fresh {
        let key = keys::workload(app, workload.generation);
        let read = known.iter().find(|(k, _)| *k == key).map(|(_, s)| s.revision);
        edits.upsert(key, read, workload);
    }
}

/// Fence of the release commands of a release that is made in the batch of generation `g`.
pub fn attempt(g: Generation) -> Attempt {
    Attempt(g.0)
}
