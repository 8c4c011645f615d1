//! What a process keeps in memory of the apps that it drives. All of it can be lost: it saves work, and decides nothing that
//! the records do not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    model::{AppName, AppUid, Attempt, Digest, DomainName, Generation, Rollout, TaskName},
    plan::{constants::LEASE_PAUSE, rollout::Budget},
    port::Prepared,
    state::apps::{AppState, RoutesChange},
};

/// What a process keeps of each app.
#[derive(Debug, Default)]
pub(in crate::service) struct Memory(Mutex<BTreeMap<AppName, InMemoryState>>);

impl Memory {
    /// Looks at or changes what is kept of an app.
    pub(super) fn with_state<T>(&self, app: &AppName, work: impl FnOnce(&mut InMemoryState) -> T) -> T {
        work(self.lock().entry(app.clone()).or_default())
    }

    /// Lets the clock of an app stand still, if it has one.
    pub(super) fn stand_still(&self, app: &AppName) {
        if let Some(state) = self.lock().get_mut(app) {
            state.clock.stand_still();
        }
    }

    /// Drops what is kept of an app that is gone.
    pub(super) fn forget(&self, app: &AppName) {
        self.lock().remove(app);
    }

    /// A batch that was planned from `state` has been written: the domains are known that it leaves.
    pub(in crate::service) fn written(&self, state: &AppState) {
        if let Some(domains) = self.lock().get_mut(state.name()).and_then(|kept| kept.domains.as_mut()) {
            domains.follow(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AppName, InMemoryState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a process keeps of one app.
#[derive(Debug, Default)]
pub(super) struct InMemoryState {
    /// What people were told last of the rollout, or of what holds up the app's end.
    told: Option<String>,
    /// The rollout that the rest is about, but for the domains.
    generation: Generation,
    /// What the clock counts for.
    budget: Budget,
    /// Artifact that is known to be ready, held so that it stays.
    artifact: Option<(Digest, Prepared)>,
    /// Why the artifact will never be ready.
    artifact_failed: Option<String>,
    /// When the artifact of a rollout that is already under way was asked for last.
    lease_asked: Option<Instant>,
    /// The release command whose output this process follows.
    followed: Option<(TaskName, Attempt)>,
    /// Generation that the scheduler refuses, until it is asked again.
    refused: Option<Generation>,
    /// The same, once people were told.
    refusal_told: Option<Generation>,
    clock: ActiveTime,
    domains: Option<KnownDomains>,
}

impl InMemoryState {
    /// Begins anew when another rollout, or another phase with a clock of its own, has begun.
    pub(super) fn follow(&mut self, rollout: &Rollout) {
        if rollout.phase.is_terminal() {
            self.artifact = None;
        }
        if self.generation != rollout.generation {
            // Scaling and restarting begin another rollout around the same release command.
            let (told, domains, followed) = (self.told.take(), self.domains.take(), self.followed.take());
            *self = Self { told, domains, followed, generation: rollout.generation, ..Self::default() };
        } else if self.budget == Budget::of(rollout) {
            return;
        }
        self.budget = Budget::of(rollout);
        self.clock = ActiveTime::start(
            Duration::from_millis(rollout.spent_ms),
            Duration::from_millis(rollout.stalled_ms),
        );
    }

    /// Whether a rollout of the app was seen.
    pub(super) fn had_rollout(&self) -> bool {
        self.generation > Generation(0)
    }

    /// People are told this from now on; whether that is news.
    pub(super) fn tell(&mut self, text: Option<String>) -> bool {
        let is_news = self.told != text;
        self.told = text;
        is_news
    }

    /// The scheduler refuses this generation; whether that is news.
    pub(super) fn refuse(&mut self, generation: Generation) -> bool {
        self.refused = Some(generation);
        self.refusal_told.replace(generation) != Some(generation)
    }

    /// Generation that the scheduler has refused since it was asked last.
    pub(super) fn refused(&self) -> Option<Generation> {
        self.refused
    }

    /// The scheduler may be asked once more for what it refused.
    pub(super) fn ask_again(&mut self) {
        self.refused = None;
    }

    pub(super) fn clock(&self) -> &ActiveTime {
        &self.clock
    }

    pub(super) fn clock_mut(&mut self) -> &mut ActiveTime {
        &mut self.clock
    }

    /// These times are in the record now.
    pub(super) fn saved(&mut self, rollout: &Rollout) {
        self.clock.saved = Duration::from_millis(rollout.spent_ms.saturating_add(rollout.stalled_ms));
    }

    /// Whether this artifact is known to be ready.
    pub(super) fn has_artifact(&self, digest: &Digest) -> bool {
        self.artifact.as_ref().is_some_and(|(known, _)| known == digest)
    }

    /// Whether the lease of this artifact is to be taken anew now: it is not held, and was not asked for a moment ago.
    pub(super) fn lacks_lease(&mut self, digest: &Digest) -> bool {
        let now = Instant::now();
        let is_due = !self.has_artifact(digest)
            && self.lease_asked.is_none_or(|asked| now.duration_since(asked) >= LEASE_PAUSE);
        if is_due {
            self.lease_asked = Some(now);
        }
        is_due
    }

    /// This process follows a release command from now on; whether it did not before.
    pub(super) fn follows(&mut self, name: &TaskName, attempt: Attempt) -> bool {
        let task = (name.clone(), attempt);
        let is_new = self.followed.as_ref() != Some(&task);
        self.followed = Some(task);
        is_new
    }

    /// Why the artifact will never be ready, if so.
    pub(super) fn artifact_failure(&self) -> Option<&str> {
        self.artifact_failed.as_deref()
    }

    pub(super) fn artifact_ready(&mut self, digest: Digest, lease: Prepared) {
        self.artifact = Some((digest, lease));
        self.artifact_failed = None;
    }

    pub(super) fn artifact_lost(&mut self, reason: String) {
        self.artifact_failed = Some(reason);
    }

    /// The app's domains, if they are known as they are at this number of its routes.
    pub(super) fn domains(&self, uid: AppUid, routes: u64) -> Option<&BTreeSet<DomainName>> {
        self.domains.as_ref().filter(|known| known.uid == uid && known.routes == routes).map(|d| &d.names)
    }

    /// The app's domains were read.
    pub(super) fn know_domains(&mut self, domains: KnownDomains) {
        self.domains = Some(domains);
    }
}

/// The domains of an app as they are at one value of `head.routes`, which each batch raises that changes them.
///
/// Without it each publication would read all domains of the app, of which a rollout makes several.
#[derive(Debug)]
pub(super) struct KnownDomains {
    pub(super) uid: AppUid,
    pub(super) routes: u64,
    pub(super) names: BTreeSet<DomainName>,
}

impl KnownDomains {
    /// Takes over what a batch changed. One that began from other domains than these changes nothing here: the number of
    /// the routes does not fit any more then, and the domains are read again.
    fn follow(&mut self, state: &AppState) {
        let raised = u64::try_from(state.raised.len()).unwrap_or(u64::MAX);
        let after = state.head.value.routes;
        if self.uid != state.app.value.uid || self.routes.saturating_add(raised) != after {
            return;
        }
        for change in &state.raised {
            match change {
                RoutesChange::SameDomains => {}
                RoutesChange::Added(name) => _ = self.names.insert(name.clone()),
                RoutesChange::Removed(name) => _ = self.names.remove(name),
            }
        }
        self.routes = after;
    }
}

/// Time that a rollout has been driven; it stands still while a back end is away or nobody drives.
///
/// While the scheduler is stalled through no fault of the rollout, another clock runs in its place, for that is no excuse
/// for ever.
#[derive(Clone, Debug, Default)]
pub(super) struct ActiveTime {
    pub(super) spent: Duration,
    pub(super) stalled: Duration,
    /// Both together, as far as they are on record.
    saved: Duration,
    since: Option<Instant>,
}

impl ActiveTime {
    /// Starts at what the record says.
    fn start(spent: Duration, stalled: Duration) -> Self {
        Self { spent, stalled, saved: spent + stalled, since: None }
    }

    /// Counts the time since the last pass that waited.
    pub(super) fn tick(&mut self, is_stalled: bool) {
        let now = Instant::now();
        if let Some(since) = self.since.replace(now) {
            let clock = if is_stalled { &mut self.stalled } else { &mut self.spent };
            *clock += now - since;
        }
    }

    /// What is not on record yet.
    pub(super) fn unsaved(&self) -> Duration {
        (self.spent + self.stalled).saturating_sub(self.saved)
    }

    /// Time spent so far, in milliseconds.
    pub(super) fn spent_ms(&self) -> u64 {
        milliseconds(self.spent)
    }

    /// Time for which the clock has stood still because of a stall, in milliseconds.
    pub(super) fn stalled_ms(&self) -> u64 {
        milliseconds(self.stalled)
    }

    /// Counts from now on, and not from the last pass that waited.
    pub(super) fn begin(&mut self) {
        self.since = Some(Instant::now());
    }

    /// Does not count until the next tick.
    fn stand_still(&mut self) {
        self.since = None;
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
