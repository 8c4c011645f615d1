//! Gives the router the routes of an app.

use super::{Progress, memory::KnownDomains, pass::LoadedRollout, reconciler::Reconciler};
use crate::{
    error::Result,
    model::{Domain, DomainName, EventKind, Generation, Head, RouteFence, Workload},
    plan::{rollout::WorkloadRole, routes},
    port::{RouterError, Scan, StoreError},
    state::{apps::AppState, keys, query::Query, record::Edits},
};

impl Reconciler {
    pub(super) async fn publish_step(&self, loaded: LoadedRollout, role: WorkloadRole) -> Result<Progress> {
        let empty;
        let workload = match role {
            // Retiring groups get no requests any more: they leave with the next generation.
            WorkloadRole::Target | WorkloadRole::TargetOnly => &loaded.workloads.target_only,
            WorkloadRole::Fallback => &loaded.workloads.fallback,
            WorkloadRole::Live => {
                empty = Workload::empty(loaded.state.reference(), loaded.rollout.value.live_generation);
                loaded.live.as_ref().unwrap_or(&empty)
            }
        };
        self.publish(&loaded.state, workload, role.generation(&loaded.rollout.value)).await
    }

    /// Gives the router the routes to a workload.
    pub(super) async fn publish(
        &self,
        state: &AppState,
        workload: &Workload,
        generation: Generation,
    ) -> Result<Progress> {
        let names = self.domains(state).await?;
        let fence = RouteFence { routes: state.head.value.routes, generation };
        let wanted = routes::routes(workload, fence, names);
        match self.parts().router.publish(&wanted).await {
            Ok(refused) => {
                if !refused.is_empty() {
                    self.record_refused(state, refused).await?;
                }
                Ok(Progress::Advanced)
            }
            // Stale: somebody with a newer view was faster. What a router says that it has may lag behind what it
            // refuses, so that asking again at once could go on for ever.
            Err(RouterError::Stale { .. } | RouterError::Unavailable(_)) => Ok(Progress::BackendUnavailable),
        }
    }

    /// The app's domains, as they are at `head.routes` or later. They are read only if this process does not know them.
    async fn domains(&self, state: &AppState) -> Result<Vec<DomainName>> {
        let (app, uid, routes) = (state.name(), state.app.value.uid, state.head.value.routes);
        let known = |names: &std::collections::BTreeSet<_>| names.iter().cloned().collect();
        if let Some(names) = self.memory().with_state(app, |kept| kept.domains(uid, routes).map(known)) {
            return Ok(names);
        }
        let mut query = Query::new();
        let head = query.get::<Head>(keys::head(app));
        let domains = query.scan::<Domain>(Scan::prefix(keys::below("app-domain", app)));
        let answers = query.read(self.store()).await?;
        let domains = answers.many(domains)?.into_iter();
        let names: std::collections::BTreeSet<_> = domains.map(|(_, domain)| domain.value.name).collect();
        let all = known(&names);
        if let Some(head) = answers.one(head)?.filter(|head| head.value.uid == uid) {
            let read = KnownDomains { uid, routes: head.value.routes, names };
            self.memory().with_state(app, |kept| kept.know_domains(read));
        }
        Ok(all)
    }

    async fn record_refused(&self, state: &AppState, refused: Vec<(DomainName, String)>) -> Result<()> {
        let mut edits = Edits::new();
        edits.guard(keys::head(state.name()), state.head.revision);
        for (domain, reason) in refused {
            state.event(&mut edits, self.now(), None, EventKind::DomainRefused { domain, reason });
        }
        match edits.commit(self.store()).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
