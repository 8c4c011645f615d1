//! Who passes are made by: a platform, seen from the side that carries out what is on record.

use std::sync::Arc;

use crate::{
    error::Result,
    model::{AppName, Timestamp},
    port::Store,
    service::platform::{Parts, Platform},
};

use super::{Memory, Progress, work_permit::WorkPermit};

/// Brings about what is on record, one step of one app at a time.
///
/// It is the only writer of phases, outcomes and back ends; what callers ask for goes through the records alone. Clones
/// are handles of the same one, and several processes may have one each.
#[derive(Clone, Debug)]
pub(super) struct Reconciler {
    pub(super) platform: Platform,
    /// What a worker works under; `None` for who passes without workers.
    pub(super) permit: Option<Arc<WorkPermit>>,
}

impl Platform {
    /// Does the next step for `app`, exactly one, and spawns nothing.
    ///
    /// Takes no input but the state: it can be called at any time, by several processes at once, and be dropped at
    /// any point.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`], if the store cannot be reached. A back end that cannot be is
    /// [`Progress::BackendUnavailable`].
    pub async fn pass(&self, app: &AppName) -> Result<Progress> {
        Reconciler::new(self).pass(app).await
    }
}

impl Reconciler {
    pub(super) fn new(platform: &Platform) -> Self {
        Self { platform: platform.clone(), permit: None }
    }

    /// The back ends and options.
    pub(super) fn parts(&self) -> &Parts {
        &self.platform.0.parts
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.platform.store()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.platform.now()
    }

    /// What this process keeps of apps.
    pub(super) fn memory(&self) -> &Memory {
        &self.platform.0.memory
    }

    /// Wakes everybody who waits for a change.
    pub(super) fn wake_waiters(&self) {
        self.platform.wake_waiters();
    }
}
