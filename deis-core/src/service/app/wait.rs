//! Waiting for the end of a change, with progress for people.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::handle::{AppHandle, Change};
use crate::{
    error::Result,
    model::{Cause, Instance, Outcome, Release, ReleaseVersion, RolloutEnd, Workload},
    plan::progress::progress,
    state::{apps::outcome, keys, ledger::end_of, query::Query, record::get},
};

/// How a change ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// It is in force, or a newer change that runs the same build is.
    Done,
    /// It never took effect: a newer release, which runs another build, took its place and is live.
    Superseded {
        /// The newer release.
        by: ReleaseVersion,
    },
    /// It failed and was undone.
    Failed(Cause),
}

impl AppHandle {
    /// Waits until the change, or the newer one that absorbed it, is in force or has failed.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the store cannot be reached, or the app is gone.
    pub async fn wait(&self, change: &Change) -> Result<ChangeOutcome> {
        let mut changed = self.platform.0.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(settled) = self.settled(change).await? {
                return Ok(settled);
            }
            pause(&mut changed, LOOK_AGAIN).await;
        }
    }

    /// Lines that say how the change gets on; ends with the change.
    pub fn progress(&self, change: &Change) -> BoxStream<'static, String> {
        let changed = self.platform.0.changed.subscribe();
        let state = (self.clone(), change.clone(), changed, None);
        futures_util::stream::unfold(state, |(handle, change, mut changed, last)| async move {
            loop {
                changed.mark_unchanged();
                if !matches!(handle.settled(&change).await, Ok(None)) {
                    return None;
                }
                if let Some(now) = handle.progress_now().await
                    && last.as_ref() != Some(&now)
                {
                    return Some((now.clone(), (handle, change, changed, Some(now))));
                }
                pause(&mut changed, LOOK_AGAIN).await;
            }
        })
        .boxed()
    }

    async fn settled(&self, change: &Change) -> Result<Option<ChangeOutcome>> {
        let store = self.platform.store();
        if let Some(version) = change.release {
            return Ok(match outcome(store, self.name(), version).await? {
                Some(Outcome::Failed { cause, .. }) => Some(ChangeOutcome::Failed(cause)),
                Some(Outcome::Succeeded { .. }) => Some(ChangeOutcome::Done),
                Some(Outcome::Superseded { by, .. }) => {
                    let mut query = Query::new();
                    let [own, other] =
                        [version, by].map(|v| query.get::<Release>(keys::release(self.name(), v)));
                    let answers = query.read(store).await?;
                    let [own, other] =
                        [answers.one(own)?, answers.one(other)?].map(|r| r.and_then(|r| r.value.build));
                    Some(if own == other { ChangeOutcome::Done } else { ChangeOutcome::Superseded { by } })
                }
                None => self.still_there().await?,
            });
        }
        let Some(generation) = change.generation else { return Ok(Some(ChangeOutcome::Done)) };
        Ok(match end_of(store, self.name(), generation).await? {
            Some(RolloutEnd::Succeeded) => Some(ChangeOutcome::Done),
            Some(RolloutEnd::Failed { cause }) => Some(ChangeOutcome::Failed(cause)),
            None => self.still_there().await?,
        })
    }

    /// Nothing is known of the end yet; that it will come is certain only while the app is there.
    async fn still_there(&self) -> Result<Option<ChangeOutcome>> {
        self.state().await?;
        Ok(None)
    }
}

impl AppHandle {
    /// Waits until the app's instances are as wanted, at most so long; answers whether they are. `wanted` is asked at
    /// first and whenever a back end says that something has changed.
    ///
    /// # Errors
    /// Those of the scheduler.
    pub async fn wait_instances(
        &self,
        limit: Duration,
        mut wanted: impl FnMut(&[Instance]) -> bool + Send,
    ) -> Result<bool> {
        let mut hints = self.platform.0.wake.watch();
        let end = Instant::now() + limit;
        loop {
            hints.mark_unchanged();
            if wanted(&self.instances().await?) {
                return Ok(true);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            pause(&mut hints, left).await;
        }
    }

    /// What the app's rollout does right now, whichever process drives it; `None` where that cannot be read.
    async fn progress_now(&self) -> Option<String> {
        let store = self.platform.store();
        let rollout = self.state().await.ok()?.rollout?.value;
        let key = keys::workload(self.name(), rollout.generation.plus(1));
        let target = get::<Workload>(store, &key).await.ok()??.value;
        let seen = self.platform.0.scheduler.observe(&self.app.reference()).await.ok();
        progress(&rollout, &target, seen.as_ref())
    }
}

/// Another process may be the one that commits, so a look now and then stands beside the signal.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

async fn pause(changed: &mut watch::Receiver<u64>, at_most: Duration) {
    let _ = timeout(at_most.min(LOOK_AGAIN), changed.changed()).await;
}
