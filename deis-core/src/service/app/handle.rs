//! An app that an actor may use; the topic files beside this one add what can be done with it.

use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use crate::{
    error::{Error, Kind, Result},
    model::{Actor, App, AppName, AppStatus, Generation, LogLevel, LogLine, LogSource, ReleaseVersion, Role},
    port::StoreError,
    service::platform::Platform,
    state::{
        apps::{AppState, Base, load_base},
        keys,
        query::{Answers, Query},
        record::Edits,
    },
};

/// An app, an actor and the permission that was checked.
#[derive(Clone, Debug)]
pub struct AppHandle {
    pub(super) platform: Platform,
    pub(super) actor: Actor,
    pub(super) app: App,
    pub(super) role: Role,
}

/// What an accepted change is waited for by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The release that it made.
    pub release: Option<ReleaseVersion>,
    /// The rollout that carries it; `None` if there is nothing to roll out.
    pub generation: Option<Generation>,
}

/// Waits for other changes of the app, reads the state, plans in `$body` and commits, until nobody came between. `$body` gives the
/// answer and must not begin another change; `continue` in it plans anew.
macro_rules! change {
    ($handle:expr, |$state:ident, $edits:ident| $body:block) => {{
        let _guard = $handle.lock().await;
        for lost in 0..$crate::service::retry::TRIES {
            $crate::service::retry::back_off(lost).await;
            #[allow(unused_mut)]
            let mut $state = $handle.state().await?;
            let mut $edits = $crate::state::record::Edits::new();
            let answer = $body;
            if $handle.commit($edits).await? {
                $handle.platform.0.memory.written(&$state);
                return Ok(answer);
            }
        }
        Err($handle.raced())
    }};
}
pub(super) use change;

impl AppHandle {
    pub(in crate::service) fn new(platform: Platform, actor: Actor, app: App, role: Role) -> Self {
        Self { platform, actor, app, role }
    }

    /// The app, as read when the handle was made.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Its name.
    pub fn name(&self) -> &AppName {
        &self.app.name
    }

    /// Who acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Writes a line of the platform into the app's log.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the log store cannot be written.
    pub async fn append_platform_log(&self, level: LogLevel, text: impl Into<String>) -> Result<()> {
        let line = LogLine::new(self.platform.now(), LogSource::Platform { level }, text);
        Ok(self.platform.0.logs.append(&self.app.reference(), vec![line]).await?)
    }

    /// The state of this very life of the app; [`Error::NotFound`] once it is gone or going.
    pub(super) async fn state(&self) -> Result<AppState> {
        Ok(self.state_with(|_| ()).await?.0)
    }

    /// The same, with further reads from the same moment.
    pub(super) async fn state_with<S: Send>(
        &self,
        ask: impl FnOnce(&mut Query) -> S + Send,
    ) -> Result<(AppState, Answers, S)> {
        let mut query = Query::new();
        let slots = AppState::ask(&mut query, self.name());
        let own = ask(&mut query);
        let answers = query.read(self.platform.store()).await?;
        let state = AppState::take(&answers, slots)?;
        let alive =
            state.filter(|s| s.head.value.uid == self.app.uid && s.head.value.state == AppStatus::Active);
        let gone = || Error::NotFound { what: Kind::App, name: self.name().to_string() };
        Ok((alive.ok_or_else(gone)?, answers, own))
    }

    /// The release that a change of this state starts from; `None` if the app has changed since it was read, so that
    /// the change must be planned anew.
    pub(super) async fn base(&self, state: &AppState) -> Result<Option<Base>> {
        Ok(load_base(self.platform.store(), state).await?)
    }

    /// Waits until no other change of this app is being made in this process.
    pub(super) async fn lock(&self) -> OwnedMutexGuard<()> {
        self.platform.0.changes.lock(keys::head(self.name())).await
    }

    /// Commits a planned change. `false`: somebody else was faster, plan it anew.
    pub(super) async fn commit(&self, edits: Edits) -> Result<bool> {
        if edits.is_empty() {
            return Ok(true);
        }
        match edits.commit(self.platform.store()).await {
            Ok(_) => {
                self.platform.touched(self.name());
                Ok(true)
            }
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => {
                // It may have been applied all the same.
                self.platform.touched(self.name());
                Err(error.into())
            }
        }
    }

    pub(super) fn raced(&self) -> Error {
        Error::Busy { reason: format!("{} is being changed by others right now; try again", self.name()) }
    }

    /// Whether the actor owns the app or is an administrator.
    pub fn is_owned(&self) -> bool {
        self.role == Role::Owner
    }

    /// Only the owner and administrators may go on.
    pub(super) fn must_own(&self, action: &'static str) -> Result<()> {
        if self.role == Role::Owner { Ok(()) } else { Err(Error::Forbidden { action }) }
    }
}
