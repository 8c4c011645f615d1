//! Which app a host means: the routes of this process, in memory.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use async_trait::async_trait;

use super::DestroyedApps;
use crate::{
    model::{AppRef, AppRoutes, AppUid, DomainName, Generation, ProcessType, RouteFence, RouteMode},
    port::{Router, RouterError},
};

/// The fence that withdrawal leaves behind.
const WITHDRAWN: RouteFence = RouteFence { routes: u64::MAX, generation: Generation::MAX };

/// Where requests for a host go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The app.
    pub app: AppRef,
    /// The process type that gets them; `None` while the app has none that could.
    pub process: Option<ProcessType>,
    /// What happens to them.
    pub mode: RouteMode,
}

/// A [`Router`] in memory, in which a proxy looks hosts up.
///
/// A change costs the domains that it adds and takes away, however many the app has: hosts lead to the app's uid, and
/// what happens to its requests is stored once.
///
/// ```
/// use deis_core::{
///     AppName, DomainName, ProcessType,
///     model::{AppRef, AppRoutes, AppUid, RouteFence, RouteMode},
///     port::Router as _,
///     routing::RouteTable,
/// };
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let table = RouteTable::new(Some(DomainName::new("example.com")?));
/// let app = AppRef { name: AppName::new("blog")?, uid: AppUid(uuid::Uuid::new_v4()) };
/// let domains = vec![DomainName::new("blog")?];
/// let (fence, process) = (RouteFence::default(), Some(ProcessType::web()));
/// table.publish(&AppRoutes { app: app.clone(), fence, process, domains, mode: RouteMode::Serve }).await?;
/// assert_eq!(table.lookup("blog.example.com:80").map(|route| route.app.clone()), Some(app));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RouteTable {
    platform: Option<String>,
    tables: RwLock<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    apps: HashMap<AppUid, Entry>,
    /// What was withdrawn is not published any more.
    withdrawn: DestroyedApps,
    hosts: Hosts,
}

#[derive(Debug)]
struct Entry {
    fence: RouteFence,
    route: Arc<Route>,
    /// The domains whose hosts lead here. None while the app is closed, so that its hosts are unknown.
    domains: BTreeSet<DomainName>,
}

#[derive(Debug, Default)]
struct Hosts {
    exact: HashMap<String, Claims>,
    /// By what follows the star.
    wildcard: HashMap<String, Claims>,
    /// By first label, where the platform has no domain: it stands under any.
    label: HashMap<String, Claims>,
}

/// The apps that a host was published for, in the order in which that happened; the last one counts. There are two while
/// a domain moves from one app to another, whose routes are published in any order.
type Claims = Vec<AppUid>;

impl RouteTable {
    /// A table without routes. Domains of one label mean names under `platform_domain`, or without one that
    /// label followed by anything.
    pub fn new(platform_domain: Option<DomainName>) -> Self {
        let platform = platform_domain.map(|domain| domain.as_str().to_ascii_lowercase());
        Self { platform, tables: RwLock::default() }
    }

    /// The route for a `Host` header: case, port and trailing dot do not matter. An exact name wins over a
    /// wildcard, a longer wildcard over a shorter one; a star stands for one or more labels, as in nginx.
    pub fn lookup(&self, host: &str) -> Option<Arc<Route>> {
        let host = normal(host)?;
        let tables = self.read();
        let hosts = &tables.hosts;
        let parents = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
        let claims = hosts
            .exact
            .get(&host)
            .or_else(|| parents.into_iter().find_map(|parent| hosts.wildcard.get(parent)))
            .or_else(|| hosts.label.get(host.split_once('.')?.0))?;
        Some(Arc::clone(&tables.apps.get(claims.last()?)?.route))
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn fence(&self, app: AppUid) -> Option<RouteFence> {
        if self.withdrawn.contains(app) { Some(WITHDRAWN) } else { Some(self.apps.get(&app)?.fence) }
    }

    /// Replaces what is known of an app, and touches no domain that it had before and has now.
    fn replace(&mut self, platform: Option<&str>, app: AppUid, entry: Option<Entry>) {
        let before = self.apps.remove(&app).map(|entry| entry.domains).unwrap_or_default();
        let none = BTreeSet::new();
        let after = entry.as_ref().map_or(&none, |entry| &entry.domains);
        for domain in before.difference(after) {
            let (hosts, key) = self.hosts.place(platform, domain);
            if let Some(claims) = hosts.get_mut(&key) {
                claims.retain(|claim| *claim != app);
                if claims.is_empty() {
                    hosts.remove(&key);
                }
            }
        }
        for domain in after.difference(&before) {
            let (hosts, key) = self.hosts.place(platform, domain);
            hosts.entry(key).or_default().push(app);
        }
        if let Some(entry) = entry {
            self.apps.insert(app, entry);
        }
    }
}

impl Hosts {
    /// The map that a domain belongs into, and its key there.
    fn place(
        &mut self,
        platform: Option<&str>,
        domain: &DomainName,
    ) -> (&mut HashMap<String, Claims>, String) {
        let name = domain.as_str().to_ascii_lowercase();
        if let Some(parent) = name.strip_prefix("*.") {
            (&mut self.wildcard, parent.to_owned())
        } else if !domain.is_short() {
            (&mut self.exact, name)
        } else if let Some(platform) = platform {
            (&mut self.exact, format!("{name}.{platform}"))
        } else {
            (&mut self.label, name)
        }
    }
}

#[async_trait]
impl Router for RouteTable {
    async fn publish(&self, routes: &AppRoutes) -> Result<Vec<(DomainName, String)>, RouterError> {
        // Built before the lock is taken: proxies look hosts up meanwhile.
        let is_closed = routes.mode == RouteMode::Closed;
        let domains = if is_closed { BTreeSet::new() } else { routes.domains.iter().cloned().collect() };
        let route = Route { app: routes.app.clone(), process: routes.process.clone(), mode: routes.mode };
        let entry = Entry { fence: routes.fence, route: Arc::new(route), domains };
        let mut tables = self.write();
        let known = tables.fence(routes.app.uid);
        if let Some(current) = known.filter(|current| routes.fence < *current) {
            return Err(RouterError::Stale { given: routes.fence, current });
        }
        if known != Some(routes.fence) {
            tables.replace(self.platform.as_deref(), routes.app.uid, Some(entry));
        }
        Ok(Vec::new())
    }

    async fn published(&self, app: &AppRef) -> Result<Option<RouteFence>, RouterError> {
        Ok(self.read().fence(app.uid))
    }

    async fn withdraw(&self, app: &AppRef) -> Result<(), RouterError> {
        let mut tables = self.write();
        tables.replace(self.platform.as_deref(), app.uid, None);
        tables.withdrawn.insert(app.uid);
        Ok(())
    }

    async fn apps(&self) -> Result<Vec<AppRef>, RouterError> {
        let tables = self.read();
        let mut apps: Vec<AppRef> = tables.apps.values().map(|entry| entry.route.app.clone()).collect();
        apps.sort_by_key(|app| app.uid);
        Ok(apps)
    }
}

/// The host of a `Host` header in the form of the table's keys; `None` for what cannot be a name.
fn normal(host: &str) -> Option<String> {
    let name =
        if host.starts_with('[') { host.split_inclusive(']').next()? } else { host.split(':').next()? };
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
