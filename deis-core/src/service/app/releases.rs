//! Releases: list, make, go back.

use uuid::Uuid;

use super::handle::{AppHandle, Change};
use crate::{
    error::{Error, Kind, Result},
    model::{Build, Config, EventKind, Formation, Outcome, Phase, Release, ReleaseRef, ReleaseVersion},
    plan::{
        RollbackError, digest, formation,
        release::{Summary, check_rollback, rollback_target, rolled_back},
    },
    port::{Key, Order, Scan},
    service::{
        page::{Page, PageQuery},
        retry::{TRIES, back_off},
    },
    state::{
        apps::{
            AppState, Base, HeldWorkloads, LoadedRelease, attempt, load_base_with, load_referred,
            reference_to,
        },
        keys,
        ledger::{
            AppChange, Desired, abandon_reverting, live_at_once, next_generation, start_rollout, write_head,
        },
        query::{Answers, Many, One, Query},
        record::{self, Edits, Stored},
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

/// Releases that are read at once while the newest good one is looked for.
const WINDOW: usize = 64;

/// A release that is about to be made.
pub(super) struct Made {
    pub(super) build: Option<Build>,
    pub(super) config: Config,
    pub(super) summary: Summary,
    pub(super) formation: Formation,
    pub(super) held: HeldWorkloads,
}

/// Where a release that may be gone back to is among the answers to a query.
enum RollbackTarget {
    /// The one that was named.
    Named(One<Release>, One<Outcome>),
    /// Among the newest ones.
    Newest(Many<Release>, Many<Outcome>),
}

/// The number at the end of a key, with its leading zeros.
fn last_part(key: &Key) -> &str {
    key.as_str().rsplit('/').next().unwrap_or_default()
}

impl AppHandle {
    /// The app's releases, newest first, failed ones included.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the app is gone.
    pub async fn releases(&self, page: PageQuery) -> Result<Page<ReleaseInfo>> {
        // Only the newest releases may have no outcome yet: the outcomes of these stand at most so many places further up.
        let before = PageQuery {
            offset: page.offset.saturating_sub(WINDOW),
            limit: page.limit.saturating_add(WINDOW),
        };
        let newest = |kind| Scan::prefix(keys::below(kind, self.name())).order(Order::NEWEST_FIRST);
        let ask = |query: &mut Query| {
            (
                query.scan::<Release>(page.part_of(newest("release"))),
                query.scan(before.part_of(newest("outcome"))),
            )
        };
        let (state, answers, (releases, outcomes)) = self.state_with(ask).await?;
        let releases = answers.many(releases)?;
        let mut outcomes: Vec<(Key, Stored<Outcome>)> = answers.many(outcomes)?;
        if before.offset > 0
            && let Some((key, first)) = releases.first()
            && !outcomes.iter().any(|(other, _)| last_part(other) == last_part(key))
        {
            let after = Some(keys::outcome(self.name(), ReleaseVersion(first.value.version.0 + 1)));
            let scan = newest("outcome").order(Order::KeyDesc { after }).limit(releases.len());
            outcomes = record::scan(self.platform.store(), &scan).await?;
        }
        // Both are sorted by number, downwards.
        let mut outcomes = outcomes.into_iter().peekable();
        let items = releases.into_iter().map(|(key, release)| {
            while outcomes.next_if(|(other, _)| last_part(other) > last_part(&key)).is_some() {}
            let outcome = outcomes.next_if(|(other, _)| last_part(other) == last_part(&key));
            ReleaseInfo { release: release.value, outcome: outcome.map(|(_, o)| o.value) }
        });
        let total = usize::try_from(state.head.value.latest.0).unwrap_or(usize::MAX);
        Ok(Page { items: items.collect(), total })
    }

    /// One release.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such release.
    pub async fn release(&self, version: ReleaseVersion) -> Result<ReleaseInfo> {
        let ask = |query: &mut Query| {
            (query.get(keys::release(self.name(), version)), query.get(keys::outcome(self.name(), version)))
        };
        let (_, answers, (release, outcome)) = self.state_with(ask).await?;
        let unknown = || Error::NotFound { what: Kind::Release, name: version.to_string() };
        let release: Stored<Release> = answers.one(release)?.ok_or_else(unknown)?;
        let outcome: Option<Stored<Outcome>> = answers.one(outcome)?;
        Ok(ReleaseInfo { release: release.value, outcome: outcome.map(|o| o.value) })
    }

    /// Makes a release with the build and the config of an earlier one; `None` means the newest one before the present
    /// that succeeded and has a build.
    ///
    /// # Errors
    /// [`Error::NoRollback`] for the first release, a failed one, one without a build and one that is not there.
    ///
    /// ```
    /// # use deis_core::{Actor, AppName, Username, conformance::sim::{World, drive_until_idle, platform}};
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
    /// #   drive_until_idle(&platform, &world, &name).await?;
    /// }
    /// let change = app.rollback(Some(ReleaseVersion(2))).await?;
    /// # drive_until_idle(&platform, &world, &name).await?;
    /// app.wait(&change).await?;
    /// assert_eq!(app.release(ReleaseVersion(4)).await?.release.summary, "ann rolled back to v2");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rollback(&self, to: Option<ReleaseVersion>) -> Result<Change> {
        let _guard = self.lock().await;
        for lost in 0..TRIES {
            back_off(lost).await;
            let (mut state, answers, wanted) = self.state_with(|query| self.ask_wanted(query, to)).await?;
            let release = self.rollback_release(&state, to, &answers, wanted).await?;
            let loaded = load_base_with(self.platform.store(), &state, Some(&reference_to(&release))).await?;
            let Some((Base { release: base, held }, Some(loaded))) = loaded else { continue };
            let summary = rolled_back(self.actor.name(), release.version, &base.release.owner);
            let formation = Self::formation_before(&state);
            let formation = match &loaded.build {
                Some(build) => formation::for_build(&formation, &build.spec),
                None => formation,
            };
            let mut edits = Edits::new();
            let made = Made { build: loaded.build, config: loaded.config, summary, formation, held };
            let change = self.plan_release(&mut state, &mut edits, made)?;
            if self.commit(edits).await? {
                self.platform.0.memory.written(&state);
                return Ok(change);
            }
        }
        Err(self.raced())
    }

    /// The release that a rollback to `to` takes build and config from.
    pub(super) async fn rollback_source(
        &self,
        state: &AppState,
        to: Option<ReleaseVersion>,
    ) -> Result<LoadedRelease> {
        let (_, answers, wanted) = self.state_with(|query| self.ask_wanted(query, to)).await?;
        let release = self.rollback_release(state, to, &answers, wanted).await?;
        let loaded = load_referred(self.platform.store(), self.name(), &reference_to(&release)).await?;
        loaded.ok_or_else(|| refused(RollbackError::Unknown(release.version)))
    }

    fn ask_wanted(&self, query: &mut Query, to: Option<ReleaseVersion>) -> RollbackTarget {
        let newest =
            |kind| Scan::prefix(keys::below(kind, self.name())).order(Order::NEWEST_FIRST).limit(WINDOW);
        match to {
            Some(to) => RollbackTarget::Named(
                query.get(keys::release(self.name(), to)),
                query.get(keys::outcome(self.name(), to)),
            ),
            None => RollbackTarget::Newest(query.scan(newest("release")), query.scan(newest("outcome"))),
        }
    }

    /// Which release is meant, if it can be gone back to.
    async fn rollback_release(
        &self,
        state: &AppState,
        to: Option<ReleaseVersion>,
        answers: &Answers,
        wanted: RollbackTarget,
    ) -> Result<Release> {
        let current = state.base();
        let found = match wanted {
            RollbackTarget::Named(release, outcome) => match answers.one(release)? {
                Some(release) => Some((release.value, answers.one(outcome)?)),
                None => None,
            },
            RollbackTarget::Newest(releases, outcomes) => {
                let (releases, outcomes) = (answers.many(releases)?, answers.many(outcomes)?);
                let good = match good_before(current, &releases, &outcomes) {
                    Some(good) => Some(good),
                    None => self.good_before_window(current, state.head.value.latest).await?,
                };
                // Without a good one, the one before the present says why it is none.
                good.or_else(|| ended(ReleaseVersion(current.0.saturating_sub(1)), &releases, &outcomes))
            }
        };
        let version = to.or(found.as_ref().map(|(release, _)| release.version));
        let target = rollback_target(version, current).map_err(refused)?;
        let (release, outcome) = found.ok_or_else(|| refused(RollbackError::Unknown(target)))?;
        check_rollback(&release, outcome.as_ref().map(|o| &o.value)).map_err(refused)?;
        Ok(release)
    }

    /// The newest release that can be gone back to, of all of them: only after so many failed ones in a row.
    async fn good_before_window(
        &self,
        current: ReleaseVersion,
        latest: ReleaseVersion,
    ) -> Result<Option<(Release, Option<Stored<Outcome>>)>> {
        if usize::try_from(latest.0).is_ok_and(|all| all <= WINDOW) {
            return Ok(None);
        }
        let newest = |kind| Scan::prefix(keys::below(kind, self.name())).order(Order::NEWEST_FIRST);
        let mut query = Query::new();
        let (releases, outcomes) = (query.scan(newest("release")), query.scan(newest("outcome")));
        let answers = query.read(self.platform.store()).await?;
        Ok(good_before(current, &answers.many(releases)?, &answers.many(outcomes)?))
    }

    /// The formation that a new release starts from: what a failure in progress will restore, else the present one.
    pub(super) fn formation_before(state: &AppState) -> Formation {
        match state.unfinished() {
            Some(rollout) if matches!(rollout.phase, Phase::Reverting { .. }) => rollout.restored.clone(),
            _ => state.formation.value.clone(),
        }
    }

    /// Puts a new release into the batch, with its rollout if it has a build.
    pub(super) fn plan_release(&self, state: &mut AppState, edits: &mut Edits, made: Made) -> Result<Change> {
        let Made { build, config, summary, formation, held } = made;
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
            build_seq: build.as_ref().map(|b| b.seq),
            config: config.id,
            digest: digest::release(build.as_ref().map(|b| &b.spec), &config.data),
            attempt: attempt(next_generation(state)),
        };
        let spec = build.as_ref().map(|b| &b.spec);
        let made = ReleaseRef {
            processes: spec.map(|spec| spec.processes.clone()).unwrap_or_default(),
            types: spec.map(|spec| formation::runnable(spec).into_keys().collect()).unwrap_or_default(),
            ..reference_to(&release)
        };
        edits.create(keys::release(self.name(), version), &release);
        let created = EventKind::ReleaseCreated { version, summary: release.summary.clone() };
        state.event(edits, now, Some(self.actor.name()), created);
        state.head.value.latest = version;
        let deadline_ms = self.deadline_ms(&config);
        let rollout = if build.is_some() {
            let target = LoadedRelease { release, build, config };
            let desired = Desired { target, is_new: true, formation, deadline_ms, held };
            Some(start_rollout(edits, state, &desired, now)?)
        } else {
            abandon_reverting(edits, state, now);
            live_at_once(edits, state, version, now);
            None
        };
        let change = AppChange { rollout: rollout.as_ref(), made: Some(made), by: Some(self.actor.name()) };
        write_head(edits, state, now, change);
        Ok(Change { release: Some(version), generation: rollout.map(|r| r.generation) })
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

/// The newest of some releases before `current` that succeeded and has a build.
fn good_before(
    current: ReleaseVersion,
    releases: &[(Key, Stored<Release>)],
    outcomes: &[(Key, Stored<Outcome>)],
) -> Option<(Release, Option<Stored<Outcome>>)> {
    let earlier = releases.iter().map(|(_, release)| &release.value).filter(|r| r.version < current);
    let built = earlier.filter(|r| r.version.0 > 1 && r.build.is_some());
    let mut ends = built.filter_map(|r| ended(r.version, releases, outcomes));
    ends.find(|(_, end)| end.as_ref().is_some_and(|o| matches!(o.value, Outcome::Succeeded { .. })))
}

/// One of some releases, and how it ended.
fn ended(
    version: ReleaseVersion,
    releases: &[(Key, Stored<Release>)],
    outcomes: &[(Key, Stored<Outcome>)],
) -> Option<(Release, Option<Stored<Outcome>>)> {
    let (_, release) = releases.iter().find(|(_, release)| release.value.version == version)?;
    let number = format!("/{:010}", version.0);
    let outcome = outcomes.iter().find(|(key, _)| key.as_str().ends_with(&number));
    Some((release.value.clone(), outcome.map(|(_, outcome)| outcome.clone())))
}

fn refused(error: RollbackError) -> Error {
    Error::NoRollback(error)
}
