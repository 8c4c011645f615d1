//! The platform as one actor sees it.

use super::{handle::AppHandle, platform::Platform};
use crate::{
    error::{Error, Kind, Result},
    model::{Actor, App, AppName, Grant, Role},
    state::{keys, record},
};

/// A platform and who asks.
#[derive(Clone, Debug)]
pub struct Session {
    pub(super) platform: Platform,
    pub(super) actor: Actor,
}

impl Platform {
    /// The platform as `actor` sees it.
    pub fn session(&self, actor: Actor) -> Session {
        Session { platform: self.clone(), actor }
    }
}

impl Session {
    /// Who asks.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// An app that the actor may use: [`Error::NotFound`], then [`Error::Forbidden`].
    pub async fn app(&self, name: &AppName) -> Result<AppHandle> {
        let store = self.platform.store();
        let found = record::get::<App>(store, &keys::app(name)).await?;
        let Some(app) = found else {
            return Err(Error::NotFound { what: Kind::App, name: name.to_string() });
        };
        let role = if self.actor.is_superuser() {
            Some(Role::Owner)
        } else {
            let grant = record::get::<Grant>(store, &keys::user_app(self.actor.name(), name)).await?;
            grant.map(|g| g.value.role)
        };
        match role {
            Some(role) => Ok(AppHandle::new(self.platform.clone(), self.actor.clone(), app.value, role)),
            None => Err(Error::Forbidden { action: "use this app" }),
        }
    }
}
