//! What a back end has of apps that the ledger does not: it is removed only if the ledger knows that they are gone.

use std::{collections::BTreeSet, time::Duration};

use tokio::sync::watch;

use super::reconciler::Reconciler;
use crate::{
    error::Result,
    model::{AppRef, AppUid, Attempt, PlatformId},
    port::StopScope,
    service::platform::Platform,
    state::gone::{self, Presence, presence},
};

/// Pause between two sweeps: what a back end brings back by itself is gone soon after.
const PAUSE: Duration = Duration::from_secs(300);

/// What a sweep for orphans found. Each app stands in it once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Apps that were destroyed, or whose name lives on in another app: their instances, tasks and routes were removed.
    pub removed: BTreeSet<AppRef>,
    /// Apps that this ledger never heard of. They are left as they are: the ledger may be a restored backup, or the
    /// wrong one.
    pub unknown: BTreeSet<AppRef>,
    /// Everything that the back ends listed.
    listed: BTreeSet<AppUid>,
}

impl Reconciler {
    /// Sweeps at the start and now and then, until it is told to stop.
    pub(super) async fn sweep_orphans(self, mut stopped: watch::Receiver<bool>) {
        let mut told = BTreeSet::new();
        let mut first = true;
        loop {
            let sweep = async {
                match self.remove_orphans().await {
                    Ok(found) => {
                        tell(&found, &mut told);
                        // Not in the first sweep: whoever else cleans up after destroyed apps has had its turn by then.
                        if !std::mem::take(&mut first)
                            && let Err(error) = gone::drop_old(self.store(), &found.listed, self.now()).await
                        {
                            tracing::warn!(%error, "records of destroyed apps could not be dropped");
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "orphans could not be looked for; the next tick tries again");
                        tokio::time::sleep(self.parts().options.tick).await;
                    }
                }
            };
            tokio::select! {
                () = super::stop_signal(&mut stopped) => return,
                () = sweep => {}
            }
        }
    }

    async fn remove_orphans(&self) -> Result<Orphans> {
        let mut found = Orphans::default();
        for app in self.parts().scheduler.apps().await? {
            if self.is_orphan(&app, &mut found).await? {
                tracing::warn!(app = %app.name, uid = %app.uid, "instances of an app that is gone are stopped");
                self.parts().scheduler.remove(&app).await?;
                // What they printed goes with them; of those that still run, once they have stopped.
                self.parts().logs.forget(&app).await?;
            }
        }
        for app in self.parts().router.apps().await? {
            if self.is_orphan(&app, &mut found).await? {
                self.parts().router.withdraw(&app).await?;
            }
        }
        for app in self.apps_with_tasks().await? {
            if self.is_orphan(&app, &mut found).await? {
                self.parts().runner.stop(&app, &StopScope::All, Attempt::MAX).await?;
            }
        }
        Ok(found)
    }

    /// The apps of which the runner has tasks, also such as have ended: their output goes with the app.
    async fn apps_with_tasks(&self) -> Result<BTreeSet<AppRef>> {
        Ok(self.parts().runner.tasks(None).await?.into_iter().map(|info| info.task.app).collect())
    }

    async fn is_orphan(&self, app: &AppRef, found: &mut Orphans) -> Result<bool> {
        found.listed.insert(app.uid);
        let presence = presence(self.store(), app).await?;
        match presence {
            Presence::Present => {}
            Presence::Gone => _ = found.removed.insert(app.clone()),
            Presence::Unknown => _ = found.unknown.insert(app.clone()),
        }
        Ok(presence == Presence::Gone)
    }
}

/// Says once for each app that it is left alone.
fn tell(found: &Orphans, told: &mut BTreeSet<AppUid>) {
    told.retain(|uid| found.listed.contains(uid));
    for app in &found.unknown {
        if told.insert(app.uid) {
            tracing::warn!(
                app = %app.name, uid = %app.uid,
                "something runs or is routed of an app that this platform does not know; it is left alone"
            );
        }
    }
}

impl Platform {
    /// Which platform a store is of; the first caller of all decides. Back ends that platforms may share mark with it
    /// what is theirs, and list only that.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`], if the store cannot be reached.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), deis_core::Error> {
    /// use deis_core::{Platform, store::MemoryStore};
    ///
    /// let store = MemoryStore::new();
    /// assert_eq!(Platform::id_of(&store).await?, Platform::id_of(&store).await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn id_of(store: &dyn crate::port::Store) -> Result<PlatformId> {
        Ok(gone::platform_id(store).await?)
    }

    /// Which of these apps are known to be destroyed. Of all others it is not known whether anybody wants them.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`], if the store cannot be reached.
    pub async fn destroyed_among(&self, apps: &BTreeSet<AppUid>) -> Result<BTreeSet<AppUid>> {
        Ok(gone::destroyed_among(self.store(), apps).await?)
    }

    /// Removes instances, tasks and routes of apps that are gone, and of earlier lives of apps that were created anew.
    ///
    /// The back ends are listed first and the ledger is read afterwards, app by app. What the ledger never heard of is
    /// left alone: an empty or an older ledger removes nothing. Neither does a list that fails or is empty.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`], if the store or a back end cannot be reached; what was removed before is removed.
    pub async fn remove_orphans(&self) -> Result<Orphans> {
        Reconciler::new(self).remove_orphans().await
    }
}
