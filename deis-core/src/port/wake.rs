//! A hint to look again. It carries no data: whoever is woken reads the state anew.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, watch};

use crate::model::AppName;

/// Hands hints from back ends to the reconciler. Clones share one inbox.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Inbox>);

#[derive(Debug, Default)]
struct Inbox {
    apps: Mutex<BTreeSet<AppName>>,
    notify: Notify,
    /// Rises with each hint, for whoever waits beside the reconciler.
    hints: watch::Sender<u64>,
}

impl Wake {
    /// Says that something about `app` may have changed. Never blocks; repeated hints are one.
    pub fn hint(&self, app: &AppName) {
        self.0.apps.lock().unwrap_or_else(PoisonError::into_inner).insert(app.clone());
        self.0.notify.notify_one();
        self.0.hints.send_modify(|hints| *hints = hints.wrapping_add(1));
    }

    /// Changes with each hint, whichever app it is about; it takes none from the receiver of [`Wake::next`].
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.0.hints.subscribe()
    }

    /// Waits for hints and takes them all. One receiver at a time.
    pub async fn next(&self) -> BTreeSet<AppName> {
        loop {
            let notified = self.0.notify.notified();
            let apps = std::mem::take(&mut *self.0.apps.lock().unwrap_or_else(PoisonError::into_inner));
            if !apps.is_empty() {
                return apps;
            }
            notified.await;
        }
    }
}
