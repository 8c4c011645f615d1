//! Domains: list, add, remove.

use super::handle::{AppHandle, change};
use crate::{
    error::{Error, Kind, Result},
    model::{AppName, Domain, DomainName, EventKind, Timestamp, Username, Zone},
    plan::constants::MAX_DOMAINS,
    port::Scan,
    service::page::{Page, PageQuery},
    state::{
        apps::{AppState, RoutesChange},
        keys,
        ledger::{AppChange, write_head},
        query::Query,
        record::{Edits, Stored},
    },
};

impl AppHandle {
    /// The app's domains, by name.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the app is gone.
    pub async fn domains(&self) -> Result<Vec<Domain>> {
        Ok(self.domain_page(PageQuery { offset: 0, limit: usize::MAX }).await?.items)
    }

    /// A part of them.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the app is gone.
    pub async fn domain_page(&self, page: PageQuery) -> Result<Page<Domain>> {
        let below = keys::below("app-domain", self.name());
        let ask = |query: &mut Query| {
            (query.scan::<Domain>(page.part_of(Scan::prefix(below.clone()))), query.count(below))
        };
        let (_, answers, (domains, total)) = self.state_with(ask).await?;
        let items = answers.many(domains)?.into_iter().map(|(_, domain)| domain.value).collect();
        Ok(Page { items, total: answers.number(total) })
    }

    /// Adds a domain, which no app may have. It is live at once, also in the middle of a rollout.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if another app has it, or has a wildcard that matches it, or a name that it matches;
    /// [`Error::Reserved`] for a name of the platform, [`Error::Invalid`] for a wildcard of a whole top-level domain.
    ///
    /// ```
    /// # use deis_core::{Actor, AppName, Username, conformance::sim::{World, drive_until_idle, platform}};
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
        self.must_be_free_for_apps(&name)?;
        change!(self, |state, edits| {
            let taken = || Error::AlreadyExists { what: Kind::Domain, name: name.to_string() };
            let mut query = Query::new();
            let other = query.get::<Domain>(keys::domain(&name));
            let known = query.count(keys::below("app-domain", self.name()));
            let place = split(&name).map(|(full, apex)| {
                let zone = query.get::<Zone>(keys::zone(&apex));
                (full, apex, zone)
            });
            let answers = query.read(self.platform.store()).await?;
            if answers.one(other)?.is_some() {
                return Err(taken());
            }
            if answers.number(known) >= MAX_DOMAINS {
                return Err(Error::invalid("domain", format!("an app has at most {MAX_DOMAINS} domains")));
            }
            let now = self.platform.now();
            let owner = self.actor.name().clone();
            let domain = Domain { name: name.clone(), app: self.name().clone(), owner, created: now };
            if let Some((full, apex, zone)) = place {
                let read = answers.one(zone)?;
                let mut zone = read.as_ref().map(|z| z.value.clone()).unwrap_or_default();
                let clash = |(known, app): (&String, &AppName)| {
                    app != self.name() && (matches(known, &full) || matches(&full, known))
                };
                if zone.names.iter().any(clash) {
                    return Err(taken());
                }
                zone.names.insert(full, self.name().clone());
                edits.upsert(keys::zone(&apex), read.map(|z| z.revision), &zone);
            }
            edits.create(keys::domain(&name), &domain);
            edits.create(keys::app_domain(self.name(), &name), &domain);
            state.raise_routes(RoutesChange::Added(name.clone()));
            let event = EventKind::DomainAdded { domain: name.clone() };
            state.event(&mut edits, now, Some(self.actor.name()), event);
            write_domains(&mut edits, &mut state, now, self.actor.name());
            domain
        })
    }

    /// Removes a domain. Only the owner and administrators may.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for whoever is neither owner nor administrator, [`Error::NotFound`] if the app does not have it.
    pub async fn domain_remove(&self, name: &DomainName) -> Result<()> {
        self.must_own("remove domains of this app")?;
        change!(self, |state, edits| {
            let mut query = Query::new();
            let own = query.get::<Domain>(keys::app_domain(self.name(), name));
            let global = query.get::<Domain>(keys::domain(name));
            let place = split(name).map(|(full, apex)| {
                let zone = query.get::<Zone>(keys::zone(&apex));
                (full, apex, zone)
            });
            let answers = query.read(self.platform.store()).await?;
            let (Some(own), Some(global)) = (answers.one(own)?, answers.one(global)?) else {
                return Err(Error::NotFound { what: Kind::Domain, name: name.to_string() });
            };
            edits.delete(keys::app_domain(self.name(), name), own.revision);
            edits.delete(keys::domain(name), global.revision);
            if let Some((full, apex, zone)) = place {
                leave_zone(&mut edits, &apex, answers.one(zone)?, &[full]);
            }
            let now = self.platform.now();
            // As it was given when it was added, which may differ in the case of letters.
            state.raise_routes(RoutesChange::Removed(own.value.name.clone()));
            let event = EventKind::DomainRemoved { domain: name.clone() };
            state.event(&mut edits, now, Some(self.actor.name()), event);
            write_domains(&mut edits, &mut state, now, self.actor.name());
        })
    }

    /// Names of the platform itself, and a wildcard that would take every name of a top-level domain, are for nobody.
    fn must_be_free_for_apps(&self, name: &DomainName) -> Result<()> {
        let lower = name.as_str().to_ascii_lowercase();
        if self.platform.0.options.reserved_names.contains(&lower) {
            return Err(Error::Reserved { what: Kind::Domain, name: name.to_string() });
        }
        if lower.strip_prefix("*.").is_some_and(|parent| !parent.contains('.')) {
            let reason =
                format!("{name} is too wide: a wildcard needs at least two labels, as in *.example.com");
            return Err(Error::invalid("domain", reason));
        }
        Ok(())
    }
}

/// A name in lower case, and its zone: the last two labels of what can be matched by a wildcard.
///
/// Wildcards have at least two labels after the star, so that names which one of them matches are in its zone,
/// however deep they are; and one record per zone is what two additions at once get in each other's way with.
pub(in crate::service) fn split(name: &DomainName) -> Option<(String, String)> {
    let lower = name.as_str().to_ascii_lowercase();
    let (_, parent) = lower.split_once('.')?;
    let (rest, last) = parent.rsplit_once('.')?;
    let second = rest.rsplit('.').next()?;
    let apex = format!("{second}.{last}");
    Some((lower, apex))
}

/// Takes names out of their zone; a zone without names goes.
pub(in crate::service) fn leave_zone(
    edits: &mut Edits,
    apex: &str,
    zone: Option<Stored<Zone>>,
    names: &[String],
) {
    let key = keys::zone(apex);
    let Some(zone) = zone else { return };
    let mut rest = zone.value;
    rest.names.retain(|name, _| !names.contains(name));
    if rest.names.is_empty() {
        edits.delete(key, zone.revision);
    } else {
        edits.replace(key, zone.revision, &rest);
    }
}

/// A batch that changes the app's domains raises the number of its routes, so that they are published.
fn write_domains(edits: &mut Edits, state: &mut AppState, now: Timestamp, by: &Username) {
    let rollout = state.rollout.as_ref().map(|r| r.value.clone());
    write_head(edits, state, now, AppChange { rollout: rollout.as_ref(), made: None, by: Some(by) });
}

/// Whether `wildcard` is one and stands for `name`, at any depth as routers match it.
fn matches(wildcard: &str, name: &str) -> bool {
    let parent = wildcard.strip_prefix("*.");
    parent.and_then(|parent| name.strip_suffix(parent)).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_at_any_depth_and_not_their_own_parent() {
        for (wildcard, name, expected) in [
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "*.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            ("www.example.com", "www.example.com", false),
        ] {
            assert_eq!(matches(wildcard, name), expected, "{wildcard} {name}");
        }
    }

    #[test]
    fn whatever_a_wildcard_matches_is_in_its_zone() {
        let zone = |name: &str| split(&DomainName::new(name).unwrap()).map(|(_, apex)| apex);
        for name in ["*.example.com", "WWW.Example.com", "a.b.example.com", "*.b.example.com"] {
            assert_eq!(zone(name).as_deref(), Some("example.com"), "{name}");
        }
        assert_eq!(zone("example.com"), None, "no wildcard can match it");
        assert_eq!(zone("blog"), None);
    }
}
