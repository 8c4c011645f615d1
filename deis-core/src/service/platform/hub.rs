//! The hub: back ends in, everything else out.

use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use super::{keyed_mutex::KeyedMutex, options::PlatformOptions, users::TokenOwners};
use crate::{
    error::Result,
    model::{AppName, Push, Timestamp},
    port::{LogStore, Preparer, Router, Scan, Scheduler, Store, StoreExt as _, TaskRunner, Wake},
    service::reconcile::{Memory, TaskOutputs},
    state::{keys, record},
};

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A platform. Clones are handles of the same one.
///
/// All state is in the store and the back ends; whatever is held here can be lost at any moment.
#[derive(Clone)]
pub struct Platform(pub(in crate::service) Arc<Inner>);

/// What a platform is made of.
pub(in crate::service) struct Parts {
    pub(in crate::service) store: Arc<dyn Store>,
    pub(in crate::service) scheduler: Arc<dyn Scheduler>,
    pub(in crate::service) router: Arc<dyn Router>,
    pub(in crate::service) runner: Arc<dyn TaskRunner>,
    pub(in crate::service) logs: Arc<dyn LogStore>,
    pub(in crate::service) preparer: Preparer,
    pub(in crate::service) clock: Clock,
    pub(in crate::service) wake: Wake,
    pub(in crate::service) options: PlatformOptions,
}

/// The parts, and what this process keeps in memory.
pub(in crate::service) struct Inner {
    pub(in crate::service) parts: Parts,
    /// Which process this is, so that a release command of a dead one is told from an own one.
    pub(in crate::service) process: Uuid,
    /// Rises with every commit and every change of progress: whoever waits reads anew.
    pub(in crate::service) changed: watch::Sender<u64>,
    /// Changes of an app, or of a user, wait for each other.
    pub(in crate::service) changes: KeyedMutex,
    pub(in crate::service) outputs: TaskOutputs,
    pub(in crate::service) token_owners: TokenOwners,
    pub(in crate::service) memory: Memory,
}

impl std::ops::Deref for Inner {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Platform {
    pub(in crate::service) fn new(parts: Parts) -> Self {
        let (changed, _) = watch::channel(0);
        Self(Arc::new(Inner {
            parts,
            process: Uuid::new_v4(),
            changed,
            changes: KeyedMutex::default(),
            outputs: TaskOutputs::default(),
            token_owners: TokenOwners::default(),
            memory: Memory::default(),
        }))
    }

    /// Whether the state can be read.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the store cannot be reached.
    pub async fn ready(&self) -> Result<()> {
        self.store().get(&keys::admins()).await?;
        Ok(())
    }

    /// All open pushes, for a start after a kill.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the store cannot be reached.
    pub async fn open_pushes(&self) -> Result<Vec<(AppName, Push)>> {
        let found = record::scan::<Push>(self.store(), &Scan::prefix(keys::PUSHES)).await?;
        Ok(found
            .into_iter()
            .filter_map(|(key, push)| {
                let app = keys::app_of(keys::PUSHES, &key)?;
                Some((app, push.value))
            })
            .collect())
    }

    /// The store.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.parts.store
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        (self.0.parts.clock)()
    }

    /// Says that the state of `app` changed: wakes the reconciler and everybody who waits.
    pub(in crate::service) fn touched(&self, app: &AppName) {
        self.0.parts.wake.hint(app);
        self.wake_waiters();
    }

    /// Wakes everybody who waits.
    pub(in crate::service) fn wake_waiters(&self) {
        self.0.changed.send_modify(|n| *n += 1);
    }
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform").field("process", &self.0.process).finish_non_exhaustive()
    }
}
