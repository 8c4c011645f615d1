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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        AppName, AppRef, AppUid, Artifact, Digest, Generation, Launch, ProcessGroup, ReleaseVersion,
        Template, TemplateId,
    };

    fn workload(scales: &[(&str, u32)]) -> Workload {
        let groups = scales.iter().map(|(process, scale)| {
            let process = ProcessType::new(*process).unwrap();
            let launch =
                Launch { artifact: Artifact::Slug { digest: Digest::of(b"x") }, command: "x".into() };
            let template = Template::new(ReleaseVersion(2), process.clone(), launch);
            let id = TemplateId("t".to_owned());
            (process, ProcessGroup { scale: *scale, min_ready: 1, id, template })
        });
        let app = AppRef { name: AppName::new("blog").unwrap(), uid: AppUid(uuid::Uuid::nil()) };
        Workload { app, generation: Generation(1), groups: groups.collect() }
    }

    #[test]
    fn requests_go_to_web_or_cmd_whichever_is_wanted() {
        let routed = |scales: &[(&str, u32)]| routed_type(&workload(scales)).map(|p| p.as_str().to_owned());
        for (scales, wanted) in [
            (&[("web", 1), ("cmd", 1)][..], Some("web")),
            (&[("web", 2), ("cmd", 0)], Some("web")),
            (&[("web", 0), ("cmd", 1)], Some("cmd")),
            (&[("web", 0), ("cmd", 0)], Some("web")),
            (&[("cmd", 0)], Some("cmd")),
            (&[("worker", 3)], None),
            (&[], None),
        ] {
            assert_eq!(routed(scales).as_deref(), wanted, "{scales:?}");
        }
    }
}
