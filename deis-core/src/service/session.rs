//! The platform as one actor sees it.

use super::{handle::AppHandle, platform::Platform};
use crate::{
    error::{Error, Kind, Result},
    model::{Actor, App, AppName, Grant, Role},
    state::{keys, query::Query},
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

    /// An app that the actor may use.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none of this name, [`Error::Forbidden`] if the actor may not use it.
    pub async fn app(&self, name: &AppName) -> Result<AppHandle> {
        let mut query = Query::new();
        let found = query.get::<App>(keys::app(name));
        let grant = query.get::<Grant>(keys::user_app(self.actor.name(), name));
        let answers = query.read(self.platform.store()).await?;
        let Some(app) = answers.one(found)? else {
            return Err(Error::NotFound { what: Kind::App, name: name.to_string() });
        };
        let role = if self.actor.is_superuser() {
            Some(Role::Owner)
        } else {
            answers.one(grant)?.map(|g| g.value.role)
        };
        match role {
            Some(role) => Ok(AppHandle::new(self.platform.clone(), self.actor.clone(), app.value, role)),
            None => Err(Error::Forbidden { action: "use this app" }),
        }
    }
}
