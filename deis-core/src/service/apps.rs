//! Apps: create, list, show, destroy.

use std::{collections::BTreeMap, time::Duration};

use uuid::Uuid;

use super::{
    handle::{AppHandle, TRIES, back_off, change},
    page::{Page, PageQuery},
    session::Session,
    users::keep_user,
};
use crate::{
    error::{Error, Kind, Result},
    model::{
        App, AppName, AppStatus, AppUid, Attempt, Command, Config, ConfigData, ConfigId, Domain, DomainName,
        Event, EventKind, Formation, Generation, Grant, Head, Outcome, ProcessType, Release, ReleaseVersion,
        Role,
    },
    plan::{digest, formation::structure, release},
    port::{Scan, StoreError, StoreExt as _},
    state::{
        apps::{AppState, load_release},
        events, keys,
        ledger::write_head,
        record::{self, Edits},
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

impl Session {
    /// Creates an app with its first release and a domain equal to its name (unless another app has that domain).
    ///
    /// [`Error::AlreadyExists`] if there is one of that name, [`Error::Invalid`] if the name is reserved.
    ///
    /// ```
    /// # use deis_core::{Actor, AppName, Username, conformance::sim::{World, platform, settle}};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let world = World::new();
    /// # let platform = platform(&world);
    /// # let session = platform.session(Actor::System { name: Username::new("ann")? });
    /// let app = session.create_app(AppName::new("blog")?).await?;
    /// assert!(session.create_app(app.name.clone()).await.is_err());
    /// let blog = session.app(&app.name).await?;
    /// assert_eq!(blog.info().await?.live.map(|version| version.to_string()).as_deref(), Some("v1"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_app(&self, name: AppName) -> Result<App> {
        if name.is_taken_elsewhere() || self.platform.0.options.reserved_names.contains(name.as_str()) {
            return Err(Error::invalid("id", format!("{name} is a reserved name.")));
        }
        let _turn = self.platform.user_turn(self.actor.name()).await;
        for lost in 0..TRIES {
            back_off(lost).await;
            let (app, edits) = self.plan_app(&name).await?;
            match edits.commit(self.platform.store()).await {
                Ok(_) => {
                    self.platform.touched(&name);
                    return Ok(app);
                }
                Err(StoreError::Conflict { key }) if key == keys::app(&name) => {
                    return Err(Error::AlreadyExists { what: Kind::App, name: name.to_string() });
                }
                // The domain was taken, or the owner changed, meanwhile.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Busy { reason: "too much is being changed right now; try again".to_owned() })
    }

    async fn plan_app(&self, name: &AppName) -> Result<(App, Edits)> {
        let store = self.platform.store();
        let now = self.platform.now();
        let owner = self.actor.name().clone();
        let app = App {
            name: name.clone(),
            uid: AppUid(Uuid::new_v4()),
            owner: owner.clone(),
            created: now,
            updated: now,
        };
        let config = Config {
            id: ConfigId(Uuid::new_v4()),
            owner: owner.clone(),
            created: now,
            data: ConfigData::default(),
        };
        let summary = release::initial(&owner);
        let first = Release {
            uuid: Uuid::new_v4(),
            version: ReleaseVersion(1),
            owner: owner.clone(),
            created: now,
            summary: summary.text,
            failed_summary: summary.failed,
            build: None,
            config: config.id,
            digest: digest::release(None, &config.data),
            attempt: Attempt(0),
        };
        let head = Head {
            uid: app.uid,
            latest: first.version,
            live: Some(first.version),
            generation: Generation(0),
            routes: 1,
            builds: 0,
            state: AppStatus::Active,
        };
        let mut edits = Edits::new();
        edits.create(keys::app(name), &app);
        edits.create(keys::head(name), &head);
        edits.create(keys::formation(name), &Formation::default());
        edits.create(keys::config(name, config.id), &config);
        edits.create(keys::release(name, first.version), &first);
        edits.create(keys::outcome(name, first.version), &Outcome::Succeeded { at: now });
        edits.create(keys::user_app(&owner, name), &Grant { app: name.clone(), role: Role::Owner });
        let version = first.version;
        let mut event = |kind| {
            events::append(
                &mut edits,
                &Event { at: now, by: Some(owner.clone()), app: Some(name.clone()), kind },
            );
        };
        event(EventKind::AppCreated);
        event(EventKind::ConfigUpdated { config: config.id });
        event(EventKind::ReleaseCreated { version, summary: first.summary.clone() });
        let domain = DomainName::new(name.as_str()).map_err(|e| Error::Internal(Box::new(e)))?;
        if store.get(&keys::domain(&domain)).await?.is_none() {
            events::append(
                &mut edits,
                &Event {
                    at: now,
                    by: Some(owner.clone()),
                    app: Some(name.clone()),
                    kind: EventKind::DomainAdded { domain: domain.clone() },
                },
            );
            let record =
                Domain { name: domain.clone(), app: name.clone(), owner: owner.clone(), created: now };
            edits.create(keys::domain(&domain), &record);
            edits.create(keys::app_domain(name, &domain), &record);
        }
        keep_user(store, &mut edits, &owner).await?;
        Ok((app, edits))
    }

    /// The apps that the actor may use, by name; administrators see all.
    pub async fn apps(&self, page: PageQuery) -> Result<Page<App>> {
        let store = self.platform.store();
        if self.actor.is_superuser() {
            let all = record::scan::<App>(store, &Scan::prefix(keys::APPS)).await?;
            return Ok(page.cut(all.into_iter().map(|(_, app)| app.value).collect()));
        }
        let grants = record::scan::<Grant>(store, &Scan::prefix(keys::user_apps(self.actor.name()))).await?;
        let names = page.cut(grants.into_iter().map(|(_, grant)| grant.value.app).collect());
        let mut items = Vec::with_capacity(names.items.len());
        for name in &names.items {
            items.extend(record::get::<App>(store, &keys::app(name)).await?.map(|app| app.value));
        }
        Ok(Page { items, total: names.total })
    }
}

impl AppHandle {
    /// The app with what is wanted of it.
    pub async fn info(&self) -> Result<AppInfo> {
        let state = self.state().await?;
        let current = state.base();
        let base = load_release(self.platform.store(), self.name(), current).await?;
        let build = base.and_then(|b| b.build).map(|b| b.spec);
        let structure = structure(&state.formation.value, build.as_ref());
        let processes = build.map(|spec| spec.processes).unwrap_or_default();
        Ok(AppInfo { app: state.app.value, structure, processes, current, live: state.head.value.live })
    }

    /// Begins to destroy the app. Its name is taken until [`AppHandle::destroyed`] returns.
    pub async fn destroy(&self) -> Result<()> {
        self.must_own("destroy this app")?;
        change!(self, |state, edits| {
            let now = self.platform.now();
            state.head.value.state = AppStatus::Destroying;
            write_head(&mut edits, &state, now, None);
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
