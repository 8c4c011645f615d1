//! An app as a whole: show, destroy.

use std::{collections::BTreeMap, time::Duration};

use super::handle::{AppHandle, change};
use crate::{
    error::Result,
    model::{App, AppStatus, Command, Event, EventKind, ProcessType, ReleaseVersion},
    state::{
        apps::AppState,
        events,
        ledger::{AppChange, write_head},
    },
};

/// An app with what is wanted of it.
#[derive(Clone, Debug)]
pub struct AppInfo {
    /// The app.
    pub app: App,
    /// How many processes of each type there shall be.
    pub structure: BTreeMap<ProcessType, u32>,
    /// Commands by process type, of the newest release that did not fail.
    pub processes: BTreeMap<ProcessType, Command>,
    /// The newest release that did not fail, be it still on its way.
    pub current: ReleaseVersion,
    /// The release that serves.
    pub live: Option<ReleaseVersion>,
}

impl AppHandle {
    /// The app with what is wanted of it.
    ///
    /// # Errors
    /// [`NotFound`](crate::Error::NotFound) if the app is gone, [`Unavailable`](crate::Error::Unavailable) if the store
    /// cannot be reached.
    pub async fn info(&self) -> Result<AppInfo> {
        let state = self.state().await?;
        let summary = &state.app.value.summary;
        let current = summary.current();
        Ok(AppInfo {
            structure: summary.structure.clone(),
            processes: current.processes.clone(),
            current: current.version,
            live: state.head.value.live,
            app: state.app.value,
        })
    }

    /// Begins to destroy the app. Its name is taken until [`AppHandle::destroyed`] returns.
    ///
    /// # Errors
    /// [`Forbidden`](crate::Error::Forbidden) for whoever is neither owner nor administrator,
    /// [`NotFound`](crate::Error::NotFound) if the app is gone.
    pub async fn destroy(&self) -> Result<()> {
        self.must_own("destroy this app")?;
        change!(self, |state, edits| {
            let now = self.platform.now();
            state.head.value.state = AppStatus::Destroying;
            let rollout = state.rollout.as_ref().map(|r| r.value.clone());
            write_head(
                &mut edits,
                &mut state,
                now,
                AppChange { rollout: rollout.as_ref(), ..AppChange::default() },
            );
            let event = Event {
                at: now,
                by: Some(self.actor.name().clone()),
                app: None,
                kind: EventKind::AppDestroying { app: self.name().clone() },
            };
            events::append(&mut edits, &event);
        })
    }

    /// Waits until nothing of this life of the app is left.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Error::Unavailable) if the store cannot be reached: whether anything is left is unknown
    /// then.
    pub async fn destroyed(&self) -> Result<()> {
        let mut changed = self.platform.0.changed.subscribe();
        loop {
            let state = AppState::load(self.platform.store(), self.name()).await?;
            if state.is_none_or(|s| s.head.value.uid != self.app.uid) {
                return Ok(());
            }
            // Another process may be the one that removes it, so a look now and then stands beside the signal.
            let _ = tokio::time::timeout(Duration::from_secs(2), changed.changed()).await;
        }
    }
}
