//! Which process type of a workload gets the requests.

use crate::model::{AppRoutes, DomainName, ProcessType, RouteFence, RouteMode, Workload};

/// Routes of an app to the types of `workload`.
pub(crate) fn routes(workload: &Workload, fence: RouteFence, mut domains: Vec<DomainName>) -> AppRoutes {
    domains.sort();
    AppRoutes {
        app: workload.app.clone(),
        fence,
        process: routed_type(workload),
        domains,
        mode: RouteMode::Serve,
    }
}

/// `web` before `cmd`, and one that is wanted before one that is scaled to 0, so that an app which moved
/// from one to the other is never dark.
pub(super) fn routed_type(workload: &Workload) -> Option<ProcessType> {
    let candidates = [ProcessType::web(), ProcessType::cmd()];
    let wanted = |p: &&ProcessType| workload.groups.get(*p).is_some_and(|g| g.scale > 0);
    let known = |p: &&ProcessType| workload.groups.contains_key(*p);
    candidates.iter().find(wanted).or_else(|| candidates.iter().find(known)).cloned()
}
