//! Domains: list, add, remove.

use std::collections::BTreeMap;

use super::handle::{AppHandle, change};
use crate::{
    error::{Error, Result},
    model::{AppName, Domain, DomainName, EventKind},
    state::{
        apps::domains,
        keys,
        ledger::write_head,
        record::{Stored, get},
    },
};

/// The names directly below a parent and whose they are: a wildcard and somebody else's name exclude each other.
type Zone = BTreeMap<String, AppName>;

impl AppHandle {
    /// The app's domains, by name.
    pub async fn domains(&self) -> Result<Vec<Domain>> {
        Ok(domains(self.platform.store(), self.name()).await?.into_iter().map(|d| d.value).collect())
    }

    /// Adds a domain, which no app may have. It is live at once, also in the middle of a rollout.
    ///
    /// ```
    /// # use deis_core::{Actor, AppName, Username, conformance::sim::{World, platform, settle}};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let world = World::new();
    /// # let platform = platform(&world);
    /// # let session = platform.session(Actor::System { name: Username::new("ann")? });
    /// # let app = session.app(&session.create_app(AppName::new("blog")?).await?.name).await?;
    /// use deis_core::{DomainName, Error};
    ///
    /// let name = DomainName::new("www.example.com")?;
    /// app.domain_add(name.clone()).await?;
    /// assert_eq!(app.domains().await?.len(), 2);
    /// assert!(matches!(app.domain_add(name).await, Err(Error::AlreadyExists { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn domain_add(&self, name: DomainName) -> Result<Domain> {
        change!(self, |state, edits| {
            let store = self.platform.store();
            let taken = || Error::AlreadyExists { what: "Domain", name: name.to_string() };
            if store.get(&keys::domain(&name)).await?.is_some() {
                return Err(taken());
            }
            let now = self.platform.now();
            let owner = self.actor.name().clone();
            let domain = Domain { name: name.clone(), app: self.name().clone(), owner, created: now };
            if let Some((label, parent)) = split(&name) {
                let read = get::<Zone>(store, &keys::zone(&parent)).await?;
                let mut zone = read.as_ref().map(|z| z.value.clone()).unwrap_or_default();
                let others =
                    |(known, app): (&String, &AppName)| app != self.name() && (label == "*" || known == "*");
                if zone.iter().any(others) {
                    return Err(taken());
                }
                zone.insert(label, self.name().clone());
                edits.upsert(keys::zone(&parent), read.map(|z| z.revision), &zone);
            }
            edits.create(keys::domain(&name), &domain);
            edits.create(keys::app_domain(self.name(), &name), &domain);
            state.head.value.routes += 1;
            let event = EventKind::DomainAdded { domain: name.clone() };
            state.event(&mut edits, now, Some(self.actor.name()), event);
            write_head(&mut edits, &state, now, Some(self.actor.name()));
            domain
        })
    }

    /// Removes a domain. Only the owner and administrators may.
    pub async fn domain_remove(&self, name: &DomainName) -> Result<()> {
        self.must_own("remove domains of this app")?;
        change!(self, |state, edits| {
            let store = self.platform.store();
            let own: Option<Stored<Domain>> = get(store, &keys::app_domain(self.name(), name)).await?;
            let global: Option<Stored<Domain>> = get(store, &keys::domain(name)).await?;
            let (Some(own), Some(global)) = (own, global) else {
                return Err(Error::NotFound { what: "Domain", name: name.to_string() });
            };
            edits.delete(keys::app_domain(self.name(), name), own.revision);
            edits.delete(keys::domain(name), global.revision);
            if let Some((label, parent)) = split(name)
                && let Some(zone) = get::<Zone>(store, &keys::zone(&parent)).await?
            {
                let mut rest = zone.value;
                rest.remove(&label);
                if rest.is_empty() {
                    edits.delete(keys::zone(&parent), zone.revision);
                } else {
                    edits.replace(keys::zone(&parent), zone.revision, &rest);
                }
            }
            let now = self.platform.now();
            state.head.value.routes += 1;
            let event = EventKind::DomainRemoved { domain: name.clone() };
            state.event(&mut edits, now, Some(self.actor.name()), event);
            write_head(&mut edits, &state, now, Some(self.actor.name()));
        })
    }
}

/// First label and parent of a full name; short names have no parent.
pub(super) fn split(name: &DomainName) -> Option<(String, String)> {
    let lower = name.as_str().to_ascii_lowercase();
    lower.split_once('.').map(|(label, parent)| (label.to_owned(), parent.to_owned()))
}
