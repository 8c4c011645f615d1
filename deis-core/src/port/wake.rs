//! A hint to look again. It carries no data: whoever is woken reads the state anew.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::model::AppName;

/// Hands hints from back ends to the reconciler. Clones share one inbox.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Inbox>);

#[derive(Debug, Default)]
struct Inbox {
    apps: Mutex<BTreeSet<AppName>>,
    notify: Notify,
}

impl Wake {
    /// Says that something about `app` may have changed. Never blocks; repeated hints are one.
    pub fn hint(&self, app: &AppName) {
        self.0.apps.lock().unwrap_or_else(PoisonError::into_inner).insert(app.clone());
        self.0.notify.notify_one();
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
