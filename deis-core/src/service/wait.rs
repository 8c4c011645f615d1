//! Waiting for the end of a change, with progress for people.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::BoxStream};

use super::{
    handle::{AppHandle, Change},
    platform::Platform,
};
use crate::{
    error::{Error, Kind, Result},
    model::{AppName, Cause, Outcome, Phase},
    state::apps::{AppState, outcome},
};

/// How a change ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is in force, or a newer change that includes it is.
    Done,
    /// It failed and was undone.
    Failed(Cause),
}

impl AppHandle {
    /// Waits until the change, or the newer one that absorbed it, is in force or has failed.
    pub async fn wait(&self, change: &Change) -> Result<Settled> {
        let mut changed = self.platform.0.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(settled) = self.settled(change).await? {
                return Ok(settled);
            }
            pause(&mut changed).await;
        }
    }

    /// Lines that say how the change gets on; ends with the change.
    pub fn progress(&self, change: &Change) -> BoxStream<'static, String> {
        let changed = self.platform.0.changed.subscribe();
        let state = (self.clone(), change.clone(), changed, String::new());
        futures_util::stream::unfold(state, |(handle, change, mut changed, mut last)| async move {
            loop {
                changed.mark_unchanged();
                if !matches!(handle.settled(&change).await, Ok(None)) {
                    return None;
                }
                let now = handle.platform.progress_of(handle.name());
                if !now.is_empty() && now != last {
                    last.clone_from(&now);
                    return Some((now, (handle, change, changed, last)));
                }
                pause(&mut changed).await;
            }
        })
        .boxed()
    }

    async fn settled(&self, change: &Change) -> Result<Option<Settled>> {
        let store = self.platform.store();
        if let Some(version) = change.release {
            return Ok(match outcome(store, self.name(), version).await? {
                Some(Outcome::Failed { cause, .. }) => Some(Settled::Failed(cause)),
                Some(_) => Some(Settled::Done),
                None => {
                    self.state().await?;
                    None
                }
            });
        }
        let Some(generation) = change.generation else { return Ok(Some(Settled::Done)) };
        let gone = || Error::NotFound { what: Kind::App, name: self.name().to_string() };
        let state = AppState::load(store, self.name()).await?.ok_or_else(gone)?;
        let Some(rollout) = state.rollout.map(|r| r.value).filter(|r| r.generation >= generation) else {
            return Ok(Some(Settled::Done));
        };
        Ok(match rollout.phase {
            Phase::Succeeded => Some(Settled::Done),
            Phase::Failed { cause, .. } => Some(Settled::Failed(cause)),
            _ => None,
        })
    }
}

impl Platform {
    /// What the app's rollout does right now, for people; empty if this process does not drive one.
    pub(super) fn progress_of(&self, app: &AppName) -> String {
        self.remember(app, |v| v.progress.clone())
    }
}

/// Another process may be the one that commits, so a look now and then stands beside the signal.
async fn pause(changed: &mut tokio::sync::watch::Receiver<u64>) {
    let _ = tokio::time::timeout(Duration::from_secs(2), changed.changed()).await;
}
