//! Config: read, change.

use super::{
    handle::{AppHandle, Change, change},
    releases::Made,
};
use crate::{
    error::{Error, Kind, Result},
    model::{Config, ConfigData, ConfigId, ConfigPatch, EventKind, ReleaseVersion},
    plan::{
        config::{ConfigError, is_platform_tag, merge},
        release::configured,
    },
    state::{
        apps::{Base, LoadedRelease, load_release},
        keys,
        record::get,
    },
};

impl AppHandle {
    /// The config of the newest release that did not fail.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the app is gone.
    pub async fn config(&self) -> Result<Config> {
        let state = self.state().await?;
        let id = state.app.value.summary.current().config;
        let config = get::<Config>(self.platform.store(), &keys::config(self.name(), id)).await?;
        // It goes only with the app.
        let gone = || Error::NotFound { what: Kind::App, name: self.name().to_string() };
        Ok(config.ok_or_else(gone)?.value)
    }

    /// The config of a release.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such release.
    pub async fn config_of(&self, version: ReleaseVersion) -> Result<Config> {
        Ok(self.loaded(version).await?.config)
    }

    /// Changes the config; makes a release, and rolls it out if there is a build.
    ///
    /// # Errors
    ///
    /// [`Error::Unchanged`] if nothing would change, [`Error::NotSet`] for the removal of what is not there,
    /// [`Error::Invalid`] with the member that is wrong, [`Error::NeedsPort`] for a registry without a port. Nothing is
    /// recorded then.
    ///
    /// ```
    /// # use deis_core::{Actor, AppName, Username, conformance::sim::{World, drive_until_idle, platform}};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let world = World::new();
    /// # let platform = platform(&world);
    /// # let session = platform.session(Actor::System { name: Username::new("ann")? });
    /// # let app = session.app(&session.create_app(AppName::new("blog")?).await?.name).await?;
    /// use deis_core::{ConfigPatch, EnvKey};
    ///
    /// let greeting = EnvKey::new("GREETING")?;
    /// app.config_set(ConfigPatch::default().set(greeting, "hello")).await?;
    /// assert_eq!(app.config().await?.data.value("GREETING"), Some("hello"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn config_set(&self, patch: ConfigPatch) -> Result<Change> {
        Ok(self.config_made(patch).await?.0)
    }

    /// The same, with the config that the change made.
    ///
    /// # Errors
    /// Those of [`AppHandle::config_set`].
    pub async fn config_made(&self, patch: ConfigPatch) -> Result<(Change, Config)> {
        change!(self, |state, edits| {
            let Some(Base { release: base, held }) = self.base(&state).await? else { continue };
            let data = self.merged(&base.config.data, &patch)?;
            let summary = configured(self.actor.name(), &base.config.data, &data);
            let now = self.platform.now();
            let config =
                Config { id: ConfigId::generate(), owner: self.actor.name().clone(), created: now, data };
            edits.create(keys::config(self.name(), config.id), &config);
            state.event(
                &mut edits,
                now,
                Some(self.actor.name()),
                EventKind::ConfigUpdated { config: config.id },
            );
            let formation = Self::formation_before(&state);
            let made = Made { build: base.build, config: config.clone(), summary, formation, held };
            (self.plan_release(&mut state, &mut edits, made)?, config)
        })
    }

    /// A release with its build and config.
    pub(super) async fn loaded(&self, version: ReleaseVersion) -> Result<LoadedRelease> {
        let found = load_release(self.platform.store(), self.name(), version).await?;
        found.ok_or_else(|| Error::NotFound { what: Kind::Release, name: version.to_string() })
    }

    pub(super) fn merged(&self, base: &ConfigData, patch: &ConfigPatch) -> Result<ConfigData> {
        if let Some(tag) = patch.tags.iter().find(|(key, value)| value.is_some() && is_platform_tag(key))
            && !self.actor.is_superuser()
        {
            return Err(Error::invalid("tags", format!("{} is for administrators alone", tag.0)));
        }
        merge(base, patch).map_err(|error| match error {
            ConfigError::NotSet { key, member } => Error::NotSet { key, member },
            ConfigError::Invalid { member, reason } => Error::Invalid { field: member, reason },
            ConfigError::Cpu => Error::InvalidCpu,
            ConfigError::NeedsPort => Error::NeedsPort,
            ConfigError::Unchanged => Error::Unchanged { by: self.actor.name().clone() },
        })
    }
}
