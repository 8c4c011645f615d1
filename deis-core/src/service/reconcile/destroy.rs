//! Destroying an app: stop, withdraw, remove, and only when nothing is left – no task, no instance, nothing else that the
//! scheduler tells of – the records, in chunks.

use std::collections::BTreeMap;

use super::{Progress, reconciler::Reconciler};
use crate::{
    error::Result,
    model::{AppRef, Attempt, Domain, Gone, Zone},
    port::{Key, Scan, StopScope, StoreError, TaskRunnerExt as _},
    service::app::domains::{leave_zone, split},
    state::{
        apps::AppState,
        keys,
        query::{One, Query},
        record::{Edits, Stored},
    },
};

/// Most records that one batch removes.
const CHUNK: usize = 500;
/// Most domains that one batch removes: each is two records, and may change a third.
const DOMAINS: usize = 100;

impl Reconciler {
    pub(super) async fn destroy_step(&self, state: AppState) -> Result<Progress> {
        let app = state.reference();
        let back_ends = async {
            self.parts().runner.stop(&app, &StopScope::All, Attempt::MAX).await.map_err(drop)?;
            if !self.parts().runner.is_idle(&app).await.map_err(drop)? {
                return Ok(false);
            }
            self.parts().router.withdraw(&app).await.map_err(drop)?;
            self.parts().scheduler.remove(&app).await.map_err(drop)?;
            let left = self.parts().scheduler.observe(&app).await.map_err(drop)?;
            self.tell_what_remains(&app, left.remains.as_deref());
            if !left.instances.is_empty() || left.remains.is_some() {
                return Ok(false);
            }
            self.parts().logs.forget(&app).await.map_err(drop)?;
            Ok::<bool, ()>(true)
        };
        match back_ends.await {
            Ok(true) => self.delete_records(&state).await,
            Ok(false) => Ok(Progress::Waiting),
            Err(()) => Ok(Progress::BackendUnavailable),
        }
    }

    /// Says once what holds up the end of an app: its name is taken until then.
    fn tell_what_remains(&self, app: &AppRef, remains: Option<&str>) {
        let is_news = self.memory().with_state(&app.name, |kept| kept.tell(remains.map(str::to_owned)));
        if let Some(remains) = remains.filter(|_| is_news) {
            tracing::info!(app = %app.name, uid = %app.uid, remains, "an app is not gone yet");
        }
    }

    async fn delete_records(&self, state: &AppState) -> Result<Progress> {
        let app = state.name();
        let mut query = Query::new();
        let kinds = keys::APP_KINDS.map(|kind| query.keys(Scan::prefix(keys::below(kind, app)).limit(CHUNK)));
        let some = Scan::prefix(keys::below("app-domain", app)).limit(DOMAINS);
        let domains = query.scan::<Domain>(some);
        let grant = query.keys(Scan::prefix(keys::user_app(&state.app.value.owner, app).as_str()));
        let answers = query.read(self.store()).await?;
        let mut edits = Edits::new();
        for (key, revision) in kinds.into_iter().flat_map(|kind| answers.keys(kind)).take(CHUNK) {
            edits.delete(key, revision);
        }
        if edits.is_empty() {
            self.delete_domains(answers.many(domains)?, &mut edits).await?;
        }
        let last = edits.is_empty();
        if last {
            let own = keys::user_app(&state.app.value.owner, app);
            for (key, revision) in answers.keys(grant).filter(|(key, _)| *key == own) {
                edits.delete(key, revision);
            }
            delete_last(state, &mut edits);
            // The mark that stays tells whoever finds something of this app later that it may go.
            edits.create(keys::gone(state.app.value.uid), &Gone { app: app.clone(), at: self.now() });
        } else {
            edits.guard(keys::head(app), state.head.revision);
        }
        match edits.commit(self.store()).await {
            Ok(_) if last => {
                self.memory().forget(app);
                self.wake_waiters();
                Ok(Progress::AppGone)
            }
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(Progress::Advanced),
            Err(error) => Err(error.into()),
        }
    }

    /// Some of the app's domains, and their places among their neighbours.
    async fn delete_domains(&self, some: Vec<(Key, Stored<Domain>)>, edits: &mut Edits) -> Result<()> {
        let mut query = Query::new();
        let mut zones: BTreeMap<String, (One<Zone>, Vec<String>)> = BTreeMap::new();
        let mut globals = Vec::new();
        for (key, domain) in some {
            let name = &domain.value.name;
            edits.delete(key, domain.revision);
            globals.push((keys::domain(name), query.get::<Domain>(keys::domain(name))));
            if let Some((full, apex)) = split(name) {
                let slot = zones.entry(apex);
                let slot = slot.or_insert_with_key(|apex| (query.get(keys::zone(apex)), Vec::new()));
                slot.1.push(full);
            }
        }
        if globals.is_empty() {
            return Ok(());
        }
        let answers = query.read(self.store()).await?;
        for (key, slot) in globals {
            if let Some(global) = answers.one(slot)? {
                edits.delete(key, global.revision);
            }
        }
        for (apex, (slot, names)) in zones {
            leave_zone(edits, &apex, answers.one(slot)?, &names);
        }
        Ok(())
    }
}

/// What makes the name free, in one batch: formation, rollout, push, app, head.
fn delete_last(state: &AppState, edits: &mut Edits) {
    let app = state.name();
    let rollout = state.rollout.as_ref().map(|r| (keys::rollout(app), r.revision));
    let push = state.push.as_ref().map(|p| (keys::push(app), p.revision));
    for (key, revision) in rollout.into_iter().chain(push) {
        edits.delete(key, revision);
    }
    edits.delete(keys::formation(app), state.formation.revision);
    edits.delete(keys::app(app), state.app.revision);
    edits.delete(keys::head(app), state.head.revision);
}
