//! What runs or is routed although the ledger knows nothing of it.

use std::time::Duration;

use tokio::sync::watch;

use crate::{
    error::Result,
    model::{AppRef, Head},
    service::platform::Platform,
    state::{keys, record::get},
};

/// Pause between two sweeps: what a back end brings back by itself is gone soon after.
const PAUSE: Duration = Duration::from_secs(300);

/// Sweeps at the start and now and then, as long as the reconciler runs.
pub(super) async fn sweep(platform: Platform, mut stopped: watch::Receiver<bool>) {
    loop {
        let sweep = async {
            match platform.remove_orphans().await {
                Ok(_) => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    tracing::warn!(%error, "orphans could not be looked for; the next tick tries again");
                    tokio::time::sleep(platform.0.options.tick).await;
                }
            }
        };
        tokio::select! {
            () = super::stop_signal(&mut stopped) => return,
            () = sweep => {}
        }
    }
}

impl Platform {
    /// Removes instances and routes of apps that are gone, and of earlier lives of apps that were created anew.
    ///
    /// The back ends are listed first and the ledger is read afterwards, app by app: what is not in the ledger then
    /// will never be again. A list that fails, or is empty, removes nothing.
    pub async fn remove_orphans(&self) -> Result<Vec<AppRef>> {
        let mut removed = Vec::new();
        for app in self.0.scheduler.apps().await? {
            if self.is_orphan(&app).await? {
                tracing::warn!(app = %app.name, uid = %app.uid, "instances of an app that is gone are stopped");
                self.0.scheduler.remove(&app).await?;
                removed.push(app);
            }
        }
        for app in self.0.router.apps().await? {
            if self.is_orphan(&app).await? {
                self.0.router.withdraw(&app).await?;
                removed.push(app);
            }
        }
        Ok(removed)
    }

    async fn is_orphan(&self, app: &AppRef) -> Result<bool> {
        let head = get::<Head>(self.store(), &keys::head(&app.name)).await?;
        Ok(head.is_none_or(|h| h.value.uid != app.uid))
    }
}
