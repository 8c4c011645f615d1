//! Apps: create, list, show, destroy.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Session;
use crate::{
    error::{Error, Kind, Result},
    model::{
        App, AppName, AppStatus, AppSummary, AppUid, Attempt, Config, ConfigData, ConfigId, Domain,
        DomainName, Event, EventKind, Formation, Generation, Grant, Head, Outcome, Release, ReleaseRef,
        ReleaseVersion, Role, User,
    },
    plan::{digest, release},
    port::{MAX_GETS, Scan, StoreError},
    service::{
        page::{Page, PageQuery},
        platform::users::keep_user,
        retry::{TRIES, back_off},
    },
    state::{events, keys, query::Query, record::Edits},
};

impl Session {
    /// Creates an app with its first release and a domain equal to its name (unless another app has that domain).
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if there is one of that name, [`Error::Reserved`] if the name is the platform's own.
    ///
    /// ```
    /// # use deis_core::{Actor, AppName, Username, conformance::sim::{World, drive_until_idle, platform}};
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
            return Err(Error::Reserved { what: Kind::App, name: name.to_string() });
        }
        let _guard = self.platform.lock_user(self.actor.name()).await;
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
        let now = self.platform.now();
        let owner = self.actor.name().clone();
        let domain = DomainName::new(name.as_str()).map_err(|e| Error::Internal(Box::new(e)))?;
        let mut query = Query::new();
        let taken = query.get::<Domain>(keys::domain(&domain));
        let user = query.get::<User>(keys::user(&owner));
        let own = (!self.actor.is_superuser()).then(|| query.count(keys::user_apps(&owner)));
        let answers = query.read(self.platform.store()).await?;
        let most = self.platform.0.options.max_user_apps;
        // The batch replaces the owner's record, so of two at once one counts anew.
        if own.is_some_and(|own| answers.number(own) >= most) {
            let reason =
                format!("you have {most} apps already, as many as a user may have; destroy one first");
            return Err(Error::invalid("id", reason));
        }
        let config = Config {
            id: ConfigId::generate(),
            owner: owner.clone(),
            created: now,
            data: ConfigData::default(),
        };
        let app = App {
            name: name.clone(),
            uid: AppUid(Uuid::new_v4()),
            owner: owner.clone(),
            created: now,
            updated: now,
            summary: AppSummary {
                state: AppStatus::Active,
                structure: BTreeMap::new(),
                live: ReleaseRef {
                    version: ReleaseVersion(1),
                    config: config.id,
                    build: None,
                    processes: BTreeMap::new(),
                    types: BTreeSet::new(),
                },
                next: None,
            },
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
            build_seq: None,
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
            attempts: 0,
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
        if answers.one(taken)?.is_none() {
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
        keep_user(&mut edits, &owner, answers.one(user)?);
        Ok((app, edits))
    }

    /// The apps that the actor may use, by name; administrators see all. One that is being destroyed
    /// says so in its summary.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be reached.
    pub async fn apps(&self, page: PageQuery) -> Result<Page<App>> {
        let store = self.platform.store();
        let mut query = Query::new();
        let (items, total): (Vec<App>, usize) = if self.actor.is_superuser() {
            let apps = query.scan::<App>(page.part_of(Scan::prefix(keys::APPS)));
            let total = query.count(keys::APPS);
            let answers = query.read(store).await?;
            (answers.many(apps)?.into_iter().map(|(_, app)| app.value).collect(), answers.number(total))
        } else {
            let own = keys::user_apps(self.actor.name());
            let grants = query.scan::<Grant>(page.part_of(Scan::prefix(own.clone())));
            let total = query.count(own);
            let answers = query.read(store).await?;
            let names = answers.many(grants)?.into_iter().map(|(_, grant)| grant.value.app);
            (self.apps_named(names.collect()).await?, answers.number(total))
        };
        Ok(Page { items, total })
    }

    /// The apps of these names, without those that went in between.
    async fn apps_named(&self, names: Vec<AppName>) -> Result<Vec<App>> {
        let mut apps = Vec::with_capacity(names.len());
        for some in names.chunks(MAX_GETS) {
            let mut query = Query::new();
            let slots: Vec<_> = some.iter().map(|name| query.get::<App>(keys::app(name))).collect();
            let answers = query.read(self.platform.store()).await?;
            for slot in slots {
                apps.extend(answers.one(slot)?.map(|app| app.value));
            }
        }
        Ok(apps)
    }
}
