//! One instance in the table, and the right to send one request to it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use super::{EndpointClass, EndpointInfo};
use crate::model::{AppUid, InstanceName, ProcessType, TemplateId};

/// An instance in the table. What identifies it never changes; what changes is atomic, so that requests need no lock.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) app: AppUid,
    pub(super) process: ProcessType,
    pub(super) instance: InstanceName,
    pub(super) template: TemplateId,
    pub(super) address: SocketAddr,
    class: AtomicU8,
    /// Tells this entry from every other one that the table ever had.
    pub(super) serial: u64,
    pub(super) draining: AtomicBool,
    pub(super) refused: AtomicBool,
    /// Told at each refused connect, for whoever checks the instance.
    pub(super) refusals: Notify,
    pub(super) leases: AtomicUsize,
    pub(super) idle: Notify,
}

impl Endpoint {
    /// An instance that nobody has a lease of yet.
    pub(super) fn new(app: AppUid, info: &EndpointInfo, serial: u64) -> Self {
        Self {
            app,
            process: info.process.clone(),
            instance: info.instance.clone(),
            template: info.template.clone(),
            address: info.address,
            class: AtomicU8::new(info.class as u8),
            serial,
            draining: AtomicBool::new(info.draining),
            refused: AtomicBool::new(false),
            refusals: Notify::new(),
            leases: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }

    pub(super) fn class(&self) -> EndpointClass {
        let class = self.class.load(Ordering::Relaxed);
        let all = [EndpointClass::Ready, EndpointClass::ContainersReady];
        all.into_iter().find(|known| *known as u8 == class).unwrap_or(EndpointClass::Running)
    }

    /// Changes the class in place. A new entry would begin without the leases that are out, so that a drain would not
    /// wait for their requests, and as one that was never refused.
    pub(super) fn set_class(&self, class: EndpointClass) {
        // Relaxed: the class is a preference. What stops an instance is `draining`, and what waits for it the count.
        self.class.store(class as u8, Ordering::Relaxed);
    }

    /// Leases it unless it is draining.
    ///
    /// The lease is counted first and `draining` is read second. Whoever drains does the opposite: sets `draining`
    /// first and reads the count second. So either this call sees `draining`, or the drainer sees this lease; an
    /// instance is never stopped under a request that was just given to it.
    pub(super) fn lease(self: &Arc<Self>, is_only: bool) -> Option<Lease> {
        self.leases.fetch_add(1, Ordering::SeqCst);
        // From here on the lease gives its count back when it is dropped, also if it is dropped at once.
        let lease = Lease { endpoint: Arc::clone(self), is_only };
        (!self.is_draining()).then_some(lease)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::SeqCst)
    }

    pub(super) fn info(&self) -> EndpointInfo {
        EndpointInfo {
            process: self.process.clone(),
            instance: self.instance.clone(),
            template: self.template.clone(),
            address: self.address,
            class: self.class(),
            draining: self.is_draining(),
            refused: self.is_refused(),
            in_flight: self.leases.load(Ordering::SeqCst),
        }
    }
}

/// The right to send one request to an instance. While it lives, the instance is not stopped before its drain limit.
#[derive(Debug)]
pub struct Lease {
    pub(super) endpoint: Arc<Endpoint>,
    is_only: bool,
}

impl Lease {
    /// Where to send the request.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    /// The instance.
    pub fn instance(&self) -> &InstanceName {
        &self.endpoint.instance
    }

    /// The app that the instance belongs to.
    pub fn app(&self) -> AppUid {
        self.endpoint.app
    }

    /// A number that no other entry of this table has or had. A pool of connections must keep those of different
    /// entries apart: addresses are used again, by other apps too, while an old connection may still be open.
    pub fn serial(&self) -> u64 {
        self.endpoint.serial
    }

    /// Whether there was no other instance to choose from. A connection to the only one is worth a longer wait.
    pub fn is_only(&self) -> bool {
        self.is_only
    }

    /// Whether the instance has begun to leave since.
    pub fn is_draining(&self) -> bool {
        self.endpoint.is_draining()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The count goes down before anybody is woken: who waits in `idle` reads it again then. Only the last lease wakes,
        // for with any other one still out the drainer would look in vain.
        if self.endpoint.leases.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.endpoint.idle.notify_waiters();
        }
    }
}
