//! The routes of this process, in memory: a proxy looks hosts up here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use async_trait::async_trait;

use crate::{
    model::{AppName, AppRef, AppRoutes, AppUid, DomainName, Generation, ProcessType, RouteFence, RouteMode},
    port::{Router, RouterError},
};

/// The fence that withdrawal leaves behind.
const WITHDRAWN: RouteFence = RouteFence { routes: u64::MAX, generation: Generation::MAX };

/// Where requests for a host go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The app.
    pub app: AppName,
    /// The process type that gets them; `None` while the app has none that could.
    pub process: Option<ProcessType>,
    /// What happens to them.
    pub mode: RouteMode,
}

/// A [`Router`] in memory. Look-ups wait for nobody: a change builds a new table and swaps it in.
#[derive(Debug)]
pub struct RouteTable {
    platform: Option<String>,
    apps: Mutex<BTreeMap<AppUid, Entry>>,
    hosts: RwLock<Arc<Hosts>>,
}

#[derive(Debug)]
struct Entry {
    app: AppRef,
    fence: RouteFence,
    routes: Option<AppRoutes>,
}

#[derive(Debug, Default)]
struct Hosts {
    exact: BTreeMap<String, Route>,
    /// By what follows the star.
    wildcard: BTreeMap<String, Route>,
    /// By first label, where the platform has no domain: it stands under any.
    label: BTreeMap<String, Route>,
}

impl RouteTable {
    /// A table without routes. Domains of one label mean names under `platform_domain`, or without one that
    /// label followed by anything.
    pub fn new(platform_domain: Option<DomainName>) -> Self {
        let platform = platform_domain.map(|domain| domain.as_str().to_ascii_lowercase());
        Self { platform, apps: Mutex::default(), hosts: RwLock::default() }
    }

    /// The route for a `Host` header: case, port and trailing dot do not matter. An exact name wins over a
    /// wildcard, a longer wildcard over a shorter one; a star stands for one or more labels, as in nginx.
    pub fn lookup(&self, host: &str) -> Option<Route> {
        let host = normal(host)?;
        let hosts = Arc::clone(&self.hosts.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(route) = hosts.exact.get(&host) {
            return Some(route.clone());
        }
        let parents = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
        let by_star = parents.into_iter().find_map(|parent| hosts.wildcard.get(parent));
        let by_label = || hosts.label.get(host.split_once('.')?.0);
        by_star.or_else(by_label).cloned()
    }

    fn swap(&self, apps: &BTreeMap<AppUid, Entry>) {
        let mut hosts = Hosts::default();
        for routes in apps.values().filter_map(|entry| entry.routes.as_ref()) {
            if routes.mode == RouteMode::Closed {
                continue;
            }
            let route =
                Route { app: routes.app.name.clone(), process: routes.process.clone(), mode: routes.mode };
            for domain in &routes.domains {
                self.insert(&mut hosts, domain, &route);
            }
        }
        *self.hosts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(hosts);
    }

    fn insert(&self, hosts: &mut Hosts, domain: &DomainName, route: &Route) {
        let name = domain.as_str().to_ascii_lowercase();
        if let Some(parent) = name.strip_prefix("*.") {
            hosts.wildcard.insert(parent.to_owned(), route.clone());
        } else if !domain.is_short() {
            hosts.exact.insert(name, route.clone());
        } else if let Some(platform) = &self.platform {
            hosts.exact.insert(format!("{name}.{platform}"), route.clone());
        } else {
            hosts.label.insert(name, route.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AppUid, Entry>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Router for RouteTable {
    async fn publish(&self, routes: &AppRoutes) -> Result<Vec<(DomainName, String)>, RouterError> {
        let mut apps = self.lock();
        let known = apps.get(&routes.app.uid).map(|entry| entry.fence);
        if let Some(current) = known.filter(|current| routes.fence < *current) {
            return Err(RouterError::Stale { given: routes.fence, current });
        }
        if known == Some(routes.fence) {
            return Ok(Vec::new());
        }
        let (app, fence) = (routes.app.clone(), routes.fence);
        apps.insert(app.uid, Entry { app, fence, routes: Some(routes.clone()) });
        self.swap(&apps);
        Ok(Vec::new())
    }

    async fn published(&self, app: &AppRef) -> Result<Option<RouteFence>, RouterError> {
        Ok(self.lock().get(&app.uid).map(|entry| entry.fence))
    }

    async fn withdraw(&self, app: &AppRef) -> Result<(), RouterError> {
        let mut apps = self.lock();
        apps.insert(app.uid, Entry { app: app.clone(), fence: WITHDRAWN, routes: None });
        self.swap(&apps);
        Ok(())
    }

    async fn apps(&self) -> Result<Vec<AppRef>, RouterError> {
        let apps = self.lock();
        Ok(apps.values().filter(|entry| entry.routes.is_some()).map(|entry| entry.app.clone()).collect())
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
mod tests {
    use super::*;

    async fn publish(table: &RouteTable, app: &str, domains: &[&str], mode: RouteMode) {
        let app = AppRef { name: AppName::new(app).unwrap(), uid: AppUid(uuid::Uuid::new_v4()) };
        let domains = domains.iter().map(|d| DomainName::new(*d).unwrap()).collect();
        let fence = RouteFence::default();
        let routes = AppRoutes { app, fence, process: Some(ProcessType::web()), domains, mode };
        table.publish(&routes).await.unwrap();
    }

    fn app_at(table: &RouteTable, host: &str) -> Option<String> {
        table.lookup(host).map(|route| route.app.as_str().to_owned())
    }

    #[tokio::test]
    async fn exact_names_win_over_wildcards_and_long_ones_over_short_ones() {
        let table = RouteTable::new(DomainName::new("Deis.localhost").ok());
        publish(&table, "one", &["one", "www.example.com"], RouteMode::Serve).await;
        publish(&table, "two", &["two", "*.example.com"], RouteMode::Serve).await;
        publish(&table, "three", &["three", "*.sub.example.com"], RouteMode::Maintenance).await;
        for (host, app) in [
            ("one.deis.localhost", Some("one")),
            ("ONE.Deis.LOCALHOST.:8080", Some("one")),
            ("www.example.com:443", Some("one")),
            ("other.example.com", Some("two")),
            ("a.b.example.com", Some("two")),
            ("x.sub.example.com", Some("three")),
            ("sub.example.com", Some("two")),
            ("example.com", None),
            ("one.elsewhere.org", None),
            ("one", None),
            ("", None),
            (".", None),
            ("[::1]:80", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(app_at(&table, host).as_deref(), app, "{host}");
        }
        assert_eq!(table.lookup("x.sub.example.com").unwrap().mode, RouteMode::Maintenance);
    }

    #[tokio::test]
    async fn without_a_platform_domain_the_first_label_decides() {
        let table = RouteTable::new(None);
        publish(&table, "one", &["one", "*.one.org"], RouteMode::Serve).await;
        publish(&table, "two", &["two"], RouteMode::Closed).await;
        assert_eq!(app_at(&table, "one.anything.at.all").as_deref(), Some("one"));
        assert_eq!(app_at(&table, "two.one.org").as_deref(), Some("one"), "a closed app is unknown");
        assert_eq!(app_at(&table, "two.anything"), None);
    }
}
