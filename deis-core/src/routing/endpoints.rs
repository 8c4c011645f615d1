//! Which instances take requests right now. Schedulers write it, proxies read it and hold a lease per request.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::lease::{Endpoint, Lease};
use crate::model::{AppUid, InstanceName, ProcessType, TemplateId};

/// The table of endpoints of one machine or cluster, by app uid and process type. Clones share one table.
///
/// It is keyed by uid because a name can be used again: a late driver of the old app then cannot reach the new one. An
/// address belongs to one instance of one app at a time. Whoever shows it later takes it from the earlier one at once,
/// because addresses are used again and a request must never reach another app.
///
/// ```
/// use deis_core::{
///     ProcessType,
///     model::{AppUid, InstanceName, TemplateId},
///     routing::Endpoints,
/// };
/// let endpoints = Endpoints::default();
/// let (app, web) = (AppUid(uuid::Uuid::new_v4()), ProcessType::web());
/// let name = InstanceName::new("blog-web-1-aaaaa").unwrap();
/// endpoints.add(app, &web, &name, &TemplateId("t".into()), "127.0.0.1:20000".parse().unwrap());
/// let lease = endpoints.lease(app, &web, &[]).unwrap();
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

/// The instances of one process type. A list is shared with whoever reads, so that a lease is chosen without the lock.
type Instances = Arc<Vec<Arc<Endpoint>>>;

#[derive(Debug, Default)]
struct Table {
    apps: BTreeMap<AppUid, BTreeMap<ProcessType, Instances>>,
    /// Whose each address is.
    addresses: BTreeMap<SocketAddr, Arc<Endpoint>>,
    /// The serial number of the newest entry.
    serial: u64,
}

/// How far an instance is, best first. Requests go to the best class of a process type that is not empty.
///
/// A scheduler of processes knows `Ready` alone. On Kubernetes a lost node makes all of its pods unready for a while,
/// although their containers answer: those are better than nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointClass {
    /// The instance is ready.
    #[default]
    Ready,
    /// Its containers are ready, the instance as a whole is said not to be.
    ContainersReady,
    /// Its containers run.
    Running,
}

/// What the table has about an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointInfo {
    /// Its process type.
    pub process: ProcessType,
    /// The instance.
    pub instance: InstanceName,
    /// Its template.
    pub template: TemplateId,
    /// Where it listens.
    pub address: SocketAddr,
    /// How far it is.
    pub class: EndpointClass,
    /// Whether it takes no new requests.
    pub draining: bool,
    /// Whether a connect to it failed since its last passed check.
    pub refused: bool,
    /// Requests in flight.
    pub in_flight: usize,
}

impl EndpointInfo {
    /// A ready instance without requests, as a scheduler hands it to [`Endpoints::set`].
    pub fn ready(
        process: ProcessType,
        instance: InstanceName,
        template: TemplateId,
        address: SocketAddr,
    ) -> Self {
        Self {
            process,
            instance,
            template,
            address,
            class: EndpointClass::Ready,
            draining: false,
            refused: false,
            in_flight: 0,
        }
    }
}

impl Endpoints {
    /// Puts a ready instance into rotation. Again for the same instance and address: it is neither draining nor refused
    /// any more.
    pub fn add(
        &self,
        app: AppUid,
        process: &ProcessType,
        instance: &InstanceName,
        template: &TemplateId,
        address: SocketAddr,
    ) {
        let mut table = self.write();
        let mut known = table.of_app(app).into_iter();
        if let Some(known) =
            known.find(|e| (&e.process, &e.instance, e.address) == (process, instance, address))
        {
            known.set_class(EndpointClass::Ready);
            known.refused.store(false, Ordering::SeqCst);
            // Last: from here on it takes requests, and then as what it is now.
            known.draining.store(false, Ordering::SeqCst);
            return;
        }
        let info = EndpointInfo::ready(process.clone(), instance.clone(), template.clone(), address);
        table.remove(app, process, instance);
        table.insert(app, &info);
    }

    /// Notes that an instance passed a check, which a scheduler does for *every* check that passes: a refused one is in
    /// rotation again. A draining one stays draining. Unknown instance: nothing.
    pub fn passed(&self, app: AppUid, instance: &InstanceName) {
        for endpoint in self.find(app, instance) {
            endpoint.refused.store(false, Ordering::SeqCst);
        }
    }

    /// Replaces everything that is known of an app by what a scheduler sees now, as a watch tells it. Instances that
    /// are not in `seen` are forgotten and take no new request. `in_flight` and `refused` of `seen` are not read:
    /// these two belong to the table. A refused one stays refused until [`Endpoints::passed`], because seeing an
    /// instance is no check of it.
    ///
    /// The list must be complete. An empty one, or an error, of a source that has not been read to its end is no
    /// reason to call this.
    ///
    /// ```
    /// # use deis_core::{
    /// #     ProcessType,
    /// #     model::{AppUid, InstanceName, TemplateId},
    /// # };
    /// use deis_core::routing::{EndpointClass, EndpointInfo, Endpoints};
    /// # let (app, web) = (AppUid(uuid::Uuid::new_v4()), ProcessType::web());
    /// # let name = InstanceName::new("blog-web-1-aaaaa").unwrap();
    /// let endpoints = Endpoints::default();
    /// let pod = EndpointInfo::ready(web.clone(), name, TemplateId("t".into()), "10.0.0.7:5000".parse().unwrap());
    /// endpoints.set(app, &[EndpointInfo { class: EndpointClass::Running, ..pod }]);
    /// assert!(endpoints.lease(app, &web, &[]).is_some(), "it is better than nothing");
    /// endpoints.set(app, &[]);
    /// assert!(endpoints.lease(app, &web, &[]).is_none());
    /// ```
    pub fn set(&self, app: AppUid, seen: &[EndpointInfo]) {
        let mut table = self.write();
        for known in table.of_app(app) {
            let same = seen.iter().find(|info| {
                let place = (&info.process, &info.instance, info.address);
                place == (&known.process, &known.instance, known.address)
            });
            match same {
                // What goes on being there keeps its entry, and with it its leases and its refusal.
                Some(info) => {
                    known.set_class(info.class);
                    known.draining.store(info.draining, Ordering::SeqCst);
                }
                None => table.remove(app, &known.process, &known.instance),
            }
        }
        for info in seen {
            let known = table
                .of_app(app)
                .into_iter()
                .any(|known| (&known.process, &known.instance) == (&info.process, &info.instance));
            if !known {
                table.insert(app, info);
            }
        }
    }

    /// Takes an instance out of rotation until it has [`Endpoints::passed`] a check, because a connect to it was refused or
    /// took too long. Where nothing better is left, requests still go to it: trying costs less than a refusal.
    pub fn refused(&self, lease: &Lease) {
        // Marked before the check is asked for: its `passed` must not be undone by this.
        lease.endpoint.refused.store(true, Ordering::SeqCst);
        lease.endpoint.refusals.notify_one();
    }

    /// Waits until a connect to an instance was refused, so that a scheduler checks it at once and not in its usual time.
    /// A refusal that nobody waited for is told to the next who does. Unknown instance: never.
    pub async fn connect_refused(&self, app: AppUid, instance: &InstanceName) {
        match self.find(app, instance).into_iter().next() {
            Some(endpoint) => endpoint.refusals.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Takes an instance out of rotation; requests in flight go on. Unknown instance: nothing.
    pub fn drain(&self, app: AppUid, instance: &InstanceName) {
        for endpoint in self.find(app, instance) {
            endpoint.draining.store(true, Ordering::SeqCst);
        }
    }

    /// Waits until no request to a draining instance is in flight. Unknown instance: at once.
    pub async fn idle(&self, app: AppUid, instance: &InstanceName) {
        for endpoint in self.find(app, instance) {
            loop {
                // Waiting begins before the count is read: a lease that ends between the two is not missed.
                let notified = endpoint.idle.notified();
                if endpoint.leases.load(Ordering::SeqCst) == 0 {
                    break;
                }
                notified.await;
            }
        }
    }

    /// Forgets an instance.
    pub fn remove(&self, app: AppUid, process: &ProcessType, instance: &InstanceName) {
        self.write().remove(app, process, instance);
    }

    /// Leases an instance that is not in `except`: one of the best class that is not empty, of these the one with the
    /// fewest requests in flight, and where they are equal each in its turn. Draining ones are in no class; refused
    /// ones come after all others. `None` if there is none.
    pub fn lease(&self, app: AppUid, process: &ProcessType, except: &[InstanceName]) -> Option<Lease> {
        let list = self.list(app, process)?;
        let mut candidates: Vec<&Arc<Endpoint>> =
            list.iter().filter(|e| !e.is_draining() && !except.contains(&e.instance)).collect();
        if candidates.is_empty() {
            return None;
        }
        let is_only = candidates.len() == 1;
        // Turned first and sorted afterwards: the sort is stable, so that equals keep the order of whose turn it is.
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed) % candidates.len();
        candidates.rotate_left(turn);
        // Read once each: a key that changes while it is compared is no order. Refused ones come last whatever their
        // class, for a connect that failed is newer than what a scheduler has seen; the fewest requests come last in the
        // key, for a less busy instance of a worse class may not answer at all.
        candidates.sort_by_cached_key(|e| (e.is_refused(), e.class(), e.leases.load(Ordering::Relaxed)));
        // One that began to drain since the list was filtered gives no lease, and the next one is asked.
        candidates.into_iter().find_map(|candidate| candidate.lease(is_only))
    }

    /// Whether the process type has any instance here, draining or not.
    pub fn is_known(&self, app: AppUid, process: &ProcessType) -> bool {
        self.list(app, process).is_some_and(|list| !list.is_empty())
    }

    /// Everything known of a process type.
    pub fn of(&self, app: AppUid, process: &ProcessType) -> Vec<EndpointInfo> {
        self.list(app, process).unwrap_or_default().iter().map(|e| e.info()).collect()
    }

    fn list(&self, app: AppUid, process: &ProcessType) -> Option<Instances> {
        self.read().apps.get(&app)?.get(process).map(Arc::clone)
    }

    fn find(&self, app: AppUid, instance: &InstanceName) -> Vec<Arc<Endpoint>> {
        let mut found = self.read().of_app(app);
        found.retain(|endpoint| endpoint.instance == *instance);
        found
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn of_app(&self, app: AppUid) -> Vec<Arc<Endpoint>> {
        let types = self.apps.get(&app).into_iter().flat_map(BTreeMap::values);
        types.flat_map(|list| list.iter()).map(Arc::clone).collect()
    }

    fn insert(&mut self, app: AppUid, info: &EndpointInfo) {
        // Before the new entry is there: two apps with one address would send the requests of one to the other.
        if let Some(earlier) = self.addresses.get(&info.address).map(Arc::clone) {
            self.remove(earlier.app, &earlier.process, &earlier.instance);
        }
        self.serial += 1;
        let endpoint = Arc::new(Endpoint::new(app, info, self.serial));
        self.addresses.insert(info.address, Arc::clone(&endpoint));
        let list = self.apps.entry(app).or_default().entry(info.process.clone()).or_default();
        Arc::make_mut(list).push(endpoint);
    }

    /// Forgets an instance. Its entry is draining from now on, for whoever took the list before.
    fn remove(&mut self, app: AppUid, process: &ProcessType, instance: &InstanceName) {
        let Some(types) = self.apps.get_mut(&app) else { return };
        let Some(list) = types.get_mut(process) else { return };
        let Some(place) = list.iter().position(|e| e.instance == *instance) else { return };
        let gone = Arc::make_mut(list).remove(place);
        // Whoever took the list before may still choose it; with this mark such a choice fails.
        gone.draining.store(true, Ordering::SeqCst);
        if list.is_empty() {
            types.remove(process);
        }
        if types.is_empty() {
            self.apps.remove(&app);
        }
        // The address may be another's by now: only its own claim goes.
        if self.addresses.get(&gone.address).is_some_and(|holder| holder.serial == gone.serial) {
            self.addresses.remove(&gone.address);
        }
    }
}

#[cfg(test)]
mod tests;
