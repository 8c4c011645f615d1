//! Which instances take requests right now. Schedulers write it, proxies read it and hold a lease per request.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use crate::model::{AppName, InstanceName, ProcessType, TemplateId};

/// The table of endpoints of one machine or cluster. Clones share one table.
///
/// ```
/// use deis_core::{AppName, Endpoints, InstanceName, ProcessType, TemplateId};
/// let endpoints = Endpoints::default();
/// let (app, web) = (AppName::new("blog").unwrap(), ProcessType::web());
/// let name = InstanceName::new("blog-web-1-aaaaa").unwrap();
/// endpoints.add(&app, &web, &name, &TemplateId("t".into()), "127.0.0.1:20000".parse().unwrap());
/// let lease = endpoints.lease(&app, &web, &[]).unwrap();
/// assert_eq!(lease.address().port(), 20000);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Endpoints(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    table: RwLock<Table>,
    /// Leases so far: whose turn it is among equals.
    turn: AtomicUsize,
}

type Table = BTreeMap<AppName, BTreeMap<ProcessType, Arc<Vec<Arc<Endpoint>>>>>;

#[derive(Debug)]
struct Endpoint {
    instance: InstanceName,
    template: TemplateId,
    address: SocketAddr,
    draining: AtomicBool,
    leases: AtomicUsize,
    idle: Notify,
}

/// The right to send one request to an instance; while it lives, the instance is not stopped before its drain limit.
#[derive(Debug)]
pub struct Lease(Arc<Endpoint>);

/// What the table has about an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointInfo {
    /// The instance.
    pub instance: InstanceName,
    /// Its template.
    pub template: TemplateId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it takes no new requests.
    pub draining: bool,
    /// Requests in flight.
    pub in_flight: usize,
}

impl Endpoints {
    /// Puts a ready instance into rotation. Again for the same instance: it is no longer draining.
    pub fn add(
        &self,
        app: &AppName,
        process: &ProcessType,
        instance: &InstanceName,
        template: &TemplateId,
        address: SocketAddr,
    ) {
        self.edit(app, process, |list| {
            if let Some(known) = list.iter().find(|e| e.instance == *instance && e.address == address) {
                known.draining.store(false, Ordering::SeqCst);
                return;
            }
            list.retain(|e| e.instance != *instance);
            list.push(Arc::new(Endpoint {
                instance: instance.clone(),
                template: template.clone(),
                address,
                draining: AtomicBool::new(false),
                leases: AtomicUsize::new(0),
                idle: Notify::new(),
            }));
        });
    }

    /// Takes an instance out of rotation; requests in flight go on. Unknown instance: nothing.
    pub fn drain(&self, app: &AppName, instance: &InstanceName) {
        for endpoint in self.find(app, instance) {
            endpoint.draining.store(true, Ordering::SeqCst);
        }
    }

    /// Waits until no request to a draining instance is in flight. Unknown instance: at once.
    pub async fn idle(&self, app: &AppName, instance: &InstanceName) {
        for endpoint in self.find(app, instance) {
            loop {
                let notified = endpoint.idle.notified();
                if endpoint.leases.load(Ordering::SeqCst) == 0 {
                    break;
                }
                notified.await;
            }
        }
    }

    /// Forgets an instance.
    pub fn remove(&self, app: &AppName, process: &ProcessType, instance: &InstanceName) {
        self.edit(app, process, |list| list.retain(|e| e.instance != *instance));
    }

    /// Leases the instance with the fewest requests in flight that is not in `except`, each in its turn where they are
    /// equal; `None` if there is none.
    pub fn lease(&self, app: &AppName, process: &ProcessType, except: &[InstanceName]) -> Option<Lease> {
        let list = self.list(app, process)?;
        let mut candidates: Vec<&Arc<Endpoint>> = list
            .iter()
            .filter(|e| !e.draining.load(Ordering::SeqCst) && !except.contains(&e.instance))
            .collect();
        if candidates.is_empty() {
            return None;
        }
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed) % candidates.len();
        candidates.rotate_left(turn);
        candidates.sort_by_key(|e| e.leases.load(Ordering::Relaxed));
        candidates.into_iter().find_map(Endpoint::lease)
    }

    /// Whether the process type has any instance here, draining or not.
    pub fn is_known(&self, app: &AppName, process: &ProcessType) -> bool {
        self.list(app, process).is_some_and(|list| !list.is_empty())
    }

    /// Everything known of a process type.
    pub fn of(&self, app: &AppName, process: &ProcessType) -> Vec<EndpointInfo> {
        let list = self.list(app, process).unwrap_or_default();
        list.iter()
            .map(|e| EndpointInfo {
                instance: e.instance.clone(),
                template: e.template.clone(),
                address: e.address,
                draining: e.draining.load(Ordering::SeqCst),
                in_flight: e.leases.load(Ordering::SeqCst),
            })
            .collect()
    }

    fn list(&self, app: &AppName, process: &ProcessType) -> Option<Arc<Vec<Arc<Endpoint>>>> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(app)?.get(process).map(Arc::clone)
    }

    fn find(&self, app: &AppName, instance: &InstanceName) -> Vec<Arc<Endpoint>> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        let Some(types) = table.get(app) else { return Vec::new() };
        types.values().flat_map(|l| l.iter()).filter(|e| e.instance == *instance).map(Arc::clone).collect()
    }

    fn edit(&self, app: &AppName, process: &ProcessType, change: impl FnOnce(&mut Vec<Arc<Endpoint>>)) {
        let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        let types = table.entry(app.clone()).or_default();
        let list = types.entry(process.clone()).or_default();
        change(Arc::make_mut(list));
        if list.is_empty() {
            types.remove(process);
        }
        if types.is_empty() {
            table.remove(app);
        }
    }
}

impl Endpoint {
    /// Counts first and looks at `draining` second: whoever set `draining` and then saw no lease is right for good.
    fn lease(self: &Arc<Self>) -> Option<Lease> {
        self.leases.fetch_add(1, Ordering::SeqCst);
        let lease = Lease(Arc::clone(self));
        (!self.draining.load(Ordering::SeqCst)).then_some(lease)
    }
}

impl Lease {
    /// Where to send the request.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// The instance.
    pub fn instance(&self) -> &InstanceName {
        &self.0.instance
    }

    /// Whether the instance has begun to leave since.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::SeqCst)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.0.leases.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> (Endpoints, AppName, ProcessType, InstanceName) {
        let endpoints = Endpoints::default();
        let app = AppName::new("blog").unwrap();
        let name = InstanceName::new("blog-web-1-aaaaa").unwrap();
        let address = "127.0.0.1:20000".parse().unwrap();
        endpoints.add(&app, &ProcessType::web(), &name, &TemplateId("t".into()), address);
        (endpoints, app, ProcessType::web(), name)
    }

    #[tokio::test]
    async fn a_draining_instance_takes_nothing_new_and_waits_for_the_old() {
        let (endpoints, app, web, name) = table();
        let lease = endpoints.lease(&app, &web, &[]).unwrap();
        endpoints.drain(&app, &name);
        assert!(endpoints.lease(&app, &web, &[]).is_none());
        let waiting = tokio::spawn({
            let (endpoints, app, name) = (endpoints.clone(), app.clone(), name.clone());
            async move { endpoints.idle(&app, &name).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(lease);
        waiting.await.unwrap();
        endpoints.remove(&app, &web, &name);
        assert!(!endpoints.is_known(&app, &web));
    }

    #[test]
    fn the_least_busy_instance_is_leased() {
        let (endpoints, app, web, first) = table();
        let second = InstanceName::new("blog-web-1-bbbbb").unwrap();
        endpoints.add(&app, &web, &second, &TemplateId("t".into()), "127.0.0.1:20001".parse().unwrap());
        let one = endpoints.lease(&app, &web, &[]).unwrap();
        let two = endpoints.lease(&app, &web, &[]).unwrap();
        assert_ne!(one.instance(), two.instance());
        let only = endpoints.lease(&app, &web, &[first]).unwrap();
        assert_eq!(*only.instance(), second);
    }

    #[test]
    fn requests_one_after_the_other_go_to_all_in_turn() {
        let (endpoints, app, web, first) = table();
        let second = InstanceName::new("blog-web-1-bbbbb").unwrap();
        endpoints.add(&app, &web, &second, &TemplateId("t".into()), "127.0.0.1:20001".parse().unwrap());
        let turns: Vec<InstanceName> =
            (0..6).map(|_| endpoints.lease(&app, &web, &[]).unwrap().instance().clone()).collect();
        assert_eq!(turns.iter().filter(|name| **name == first).count(), 3, "{turns:?}");
    }
}
