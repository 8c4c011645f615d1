//! Destroying an app: stop, withdraw, remove, and only when nothing is left, the records in chunks.

use std::collections::BTreeMap;

use super::Progress;
use crate::{
    error::Result,
    model::{AppName, Attempt, Domain, Gone},
    port::{Scan, StopScope, StoreError, StoreExt as _},
    service::{
        domains::{leave_zone, split},
        platform::Platform,
    },
    state::{
        apps::AppState,
        keys,
        record::{Edits, get, scan},
    },
};

/// Most records that one batch removes.
const CHUNK: usize = 500;
/// Most domains that one batch removes: each is two records, and may change a third.
const DOMAINS: usize = 100;

impl Platform {
    pub(super) async fn destroy_step(&self, state: AppState) -> Result<Progress> {
        let app = state.reference();
        let back_ends = async {
            self.0.runner.stop(&app, StopScope::All, Attempt::MAX).await.map_err(drop)?;
            if !self.0.runner.is_idle(&app).await.map_err(drop)? {
                return Ok(false);
            }
            self.0.router.withdraw(&app).await.map_err(drop)?;
            self.0.scheduler.remove(&app).await.map_err(drop)?;
            let left = self.0.scheduler.observe(&app).await.map_err(drop)?;
            if !left.instances.is_empty() {
                return Ok(false);
            }
            self.0.logs.forget(&app).await.map_err(drop)?;
            Ok::<bool, ()>(true)
        };
        match back_ends.await {
            Ok(true) => self.delete_records(&state).await,
            Ok(false) => Ok(Progress::Waiting),
            Err(()) => Ok(Progress::Blind),
        }
    }

    async fn delete_records(&self, state: &AppState) -> Result<Progress> {
        let app = state.name();
        let mut edits = Edits::new();
        for kind in keys::APP_KINDS {
            let scan = Scan::prefix(keys::below(kind, app)).limit(CHUNK - edits.len());
            for record in self.store().scan(&scan).await? {
                edits.delete(record.key, record.revision);
            }
            if edits.len() >= CHUNK {
                break;
            }
        }
        if edits.is_empty() {
            self.delete_domains(app, &mut edits).await?;
        }
        let last = edits.is_empty();
        if last {
            self.delete_last(state, &mut edits).await?;
        } else {
            edits.guard(keys::head(app), state.head.revision);
        }
        match edits.commit(self.store()).await {
            Ok(_) if last => {
                self.forget(app);
                self.announce();
                Ok(Progress::Gone)
            }
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(Progress::Stepped),
            Err(error) => Err(error.into()),
        }
    }

    /// Some of the app's domains, and their places among their neighbours.
    async fn delete_domains(&self, app: &AppName, edits: &mut Edits) -> Result<()> {
        let some = Scan::prefix(keys::below("app-domain", app)).limit(DOMAINS);
        let mut zones: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, domain) in scan::<Domain>(self.store(), &some).await? {
            let name = &domain.value.name;
            edits.delete(key, domain.revision);
            if let Some(global) = get::<Domain>(self.store(), &keys::domain(name)).await? {
                edits.delete(keys::domain(name), global.revision);
            }
            if let Some((full, apex)) = split(name) {
                zones.entry(apex).or_default().push(full);
            }
        }
        for (apex, names) in zones {
            leave_zone(self.store(), edits, &apex, &names).await?;
        }
        Ok(())
    }

    /// What makes the name free, in one batch: grants, formation, rollout, push, app, head. The mark that stays tells
    /// whoever finds something of this app later that it may go.
    async fn delete_last(&self, state: &AppState, edits: &mut Edits) -> Result<()> {
        let app = state.name();
        for key in [
            keys::rollout(app),
            keys::push(app),
            keys::formation(app),
            keys::user_app(&state.app.value.owner, app),
            keys::app(app),
        ] {
            if let Some(record) = self.store().get(&key).await? {
                edits.delete(key, record.revision);
            }
        }
        edits.delete(keys::head(app), state.head.revision);
        let uid = state.app.value.uid;
        edits.create(keys::gone(uid), &Gone { app: app.clone(), at: self.now() });
        Ok(())
    }
}
