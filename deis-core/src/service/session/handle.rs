//! The platform as one actor sees it.

use crate::{
    error::{Error, Kind, Result},
    model::{Actor, App, AppName, Grant, Role, Username},
    service::{app::AppHandle, platform::Platform},
    state::{
        keys,
        query::{Answers, One, Query},
    },
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
        let slots = AccessSlots::ask(&mut query, self.actor.name(), name);
        let answers = query.read(self.platform.store()).await?;
        self.take_app(&answers, slots, name)
    }

    /// Takes an app from the answers to a query.
    pub(in crate::service) fn take_app(
        &self,
        answers: &Answers,
        slots: AccessSlots,
        name: &AppName,
    ) -> Result<AppHandle> {
        let Some(app) = answers.one(slots.app)? else {
            return Err(Error::NotFound { what: Kind::App, name: name.to_string() });
        };
        let role = if self.actor.is_superuser() {
            Some(Role::Owner)
        } else {
            answers.one(slots.grant)?.map(|g| g.value.role)
        };
        match role {
            Some(role) => Ok(AppHandle::new(self.platform.clone(), self.actor.clone(), app.value, role)),
            None => Err(Error::Forbidden { action: "use this app" }),
        }
    }
}

/// Where an app, and what a user may do with it, are among the answers to a query.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct AccessSlots {
    app: One<App>,
    grant: One<Grant>,
}

impl AccessSlots {
    /// Adds both to a query.
    pub(in crate::service) fn ask(query: &mut Query, user: &Username, app: &AppName) -> Self {
        Self { app: query.get(keys::app(app)), grant: query.get(keys::user_app(user, app)) }
    }
}
