//! Releases: list, make, go back.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    handle::{AppHandle, Change, change},
    page::{Page, PageQuery},
};
use crate::{
    error::{Error, Result},
    model::{Build, Config, EventKind, Formation, Outcome, Phase, Release, ReleaseVersion},
    plan::{
        digest, formation,
        release::{RollbackError, Summary, check_rollback, rollback_target, rolled_back},
    },
    port::Key,
    state::{
        apps::{AppState, LoadedRelease, attempt, build_of, load_release, newest, outcome},
        keys,
        ledger::{Desired, abandon_reverting, live_at_once, next_generation, start_rollout, write_head},
        record::Edits,
    },
};

/// A release and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseInfo {
    /// The release.
    pub release: Release,
    /// How it ended; `None` while it is under way.
    pub outcome: Option<Outcome>,
}

impl AppHandle {
    /// The app's releases, newest first, failed ones included.
    pub async fn releases(&self, page: PageQuery) -> Result<Page<ReleaseInfo>> {
        let (store, app) = (self.platform.store(), self.name());
        let latest = self.head().await?.latest;
        let first = ReleaseVersion(page.below(latest.0));
        let releases =
            newest::<Release>(store, "release", app, keys::release(app, first), page.limit).await?;
        // At most one for each release, so those of these releases are among as many.
        let outcomes =
            newest::<Outcome>(store, "outcome", app, keys::outcome(app, first), releases.len()).await?;
        let mut outcomes: BTreeMap<Key, Outcome> = outcomes.into_iter().collect();
        let items = releases.into_iter().map(|(_, release)| {
            let outcome = outcomes.remove(&keys::outcome(app, release.version));
            ReleaseInfo { release, outcome }
        });
        Ok(Page { items: items.collect(), total: usize::try_from(latest.0).unwrap_or(usize::MAX) })
    }

    /// One release.
    pub async fn release(&self, version: ReleaseVersion) -> Result<ReleaseInfo> {
        let release = self.loaded(version).await?.release;
        Ok(ReleaseInfo { release, outcome: outcome(self.platform.store(), self.name(), version).await? })
    }

    /// Makes a release with the build and the config of an earlier one; `None` means the newest one before the present
    /// that succeeded and has a build.
    ///
    /// [`Error::NoRollback`] for the first release, a failed one, one without a build and one that is not there.
    ///
    /// ```
    /// # use deis_core::{Actor, AppName, Username, conformance::sim::{World, platform, settle}};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let world = World::new();
    /// # let platform = platform(&world);
    /// # let session = platform.session(Actor::System { name: Username::new("ann")? });
    /// # let app = session.app(&session.create_app(AppName::new("blog")?).await?.name).await?;
    /// # let name = app.name().clone();
    /// use deis_core::{BuildSpec, Digest, ProcessType, ReleaseVersion};
    ///
    /// for slug in [b"one", b"two"] {
    ///     app.deploy(BuildSpec::slug(Digest::of(slug), [(ProcessType::web(), "./serve".to_owned())].into())).await?;
    /// #   settle(&platform, &world, &name).await?;
    /// }
    /// let change = app.rollback(Some(ReleaseVersion(2))).await?;
    /// # settle(&platform, &world, &name).await?;
    /// app.wait(&change).await?;
    /// assert_eq!(app.release(ReleaseVersion(4)).await?.release.summary, "ann rolled back to v2");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rollback(&self, to: Option<ReleaseVersion>) -> Result<Change> {
        change!(self, |state, edits| {
            let current = state.base();
            let loaded = self.rollback_source(&state, to).await?;
            let target = loaded.release.version;
            let before = load_release(self.platform.store(), self.name(), current).await?;
            let owner = before.map_or_else(|| self.actor.name().clone(), |b| b.release.owner);
            let summary = rolled_back(self.actor.name(), target, &owner);
            let formation = Self::formation_before(&state);
            let formation = match &loaded.build {
                Some(build) => formation::for_build(&formation, &build.spec),
                None => formation,
            };
            self.plan_release(&mut state, &mut edits, loaded.build, loaded.config, summary, formation).await?
        })
    }

    /// The release that a rollback to `to` takes build and config from.
    pub(super) async fn rollback_source(
        &self,
        state: &AppState,
        to: Option<ReleaseVersion>,
    ) -> Result<LoadedRelease> {
        let store = self.platform.store();
        let current = state.base();
        let default = if to.is_none() { self.good_before(current).await? } else { None };
        let target = rollback_target(to.or(default), current).map_err(refused)?;
        let Some(loaded) = load_release(store, self.name(), target).await? else {
            return Err(refused(RollbackError::Unknown(target)));
        };
        let ended = outcome(store, self.name(), target).await?;
        check_rollback(&loaded.release, ended.as_ref()).map_err(refused)?;
        Ok(loaded)
    }

    /// The newest release before `current` that can be gone back to.
    async fn good_before(&self, current: ReleaseVersion) -> Result<Option<ReleaseVersion>> {
        let store = self.platform.store();
        for version in (2..current.0).rev().map(ReleaseVersion) {
            if build_of(store, self.name(), version).await?.is_none() {
                continue;
            }
            let ended = outcome(store, self.name(), version).await?;
            if matches!(ended, Some(Outcome::Succeeded { .. })) {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    /// The formation that a new release starts from: what a failure in progress will restore, else the present one.
    pub(super) fn formation_before(state: &AppState) -> Formation {
        match state.unfinished() {
            Some(rollout) if matches!(rollout.phase, Phase::Reverting { .. }) => rollout.restored.clone(),
            _ => state.formation.value.clone(),
        }
    }

    /// Puts a new release into the batch, with its rollout if it has a build.
    pub(super) async fn plan_release(
        &self,
        state: &mut AppState,
        edits: &mut Edits,
        build: Option<Build>,
        config: Config,
        summary: Summary,
        formation: Formation,
    ) -> Result<Change> {
        let now = self.platform.now();
        let version = ReleaseVersion(state.head.value.latest.0 + 1);
        let release = Release {
            uuid: Uuid::new_v4(),
            version,
            owner: self.actor.name().clone(),
            created: now,
            summary: summary.text,
            failed_summary: summary.failed,
            build: build.as_ref().map(|b| b.id),
            config: config.id,
            digest: digest::release(build.as_ref().map(|b| &b.spec), &config.data),
            attempt: attempt(next_generation(state)),
        };
        edits.create(keys::release(self.name(), version), &release);
        let created = EventKind::ReleaseCreated { version, summary: release.summary.clone() };
        state.event(edits, now, Some(self.actor.name()), created);
        state.head.value.latest = version;
        let deadline_ms = self.deadline_ms(&config);
        let generation = if build.is_some() {
            let target = LoadedRelease { release, build, config };
            let desired = Desired { target, is_new: true, formation, deadline_ms };
            let store = self.platform.store();
            Some(start_rollout(store, edits, state, &desired, now).await?.generation)
        } else {
            abandon_reverting(edits, state, now);
            live_at_once(edits, state, version, now);
            None
        };
        write_head(edits, state, now, Some(self.actor.name()));
        Ok(Change { release: Some(version), generation })
    }

    /// Active time that a rollout with this config may take.
    pub(super) fn deadline_ms(&self, config: &Config) -> u64 {
        let own = config.data.value("DEIS_DEPLOY_TIMEOUT");
        let seconds = own.and_then(|text| text.parse::<u64>().ok());
        let usual = self.platform.0.options.deploy_deadline;
        seconds
            .map_or_else(|| u64::try_from(usual.as_millis()).unwrap_or(u64::MAX), |s| s.saturating_mul(1000))
    }
}

fn refused(error: RollbackError) -> Error {
    Error::NoRollback(error)
}
