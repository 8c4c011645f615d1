//! What every scheduler must do. Each case takes a [`Subject`] of its own and panics where the promise is broken.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use uuid::Uuid;

use super::wait::until;
use crate::{
    model::{
        AppName, AppRef, AppUid, Artifact, Cause, Generation, Instance, InstanceName, InstanceState, Launch,
        Observation, ProcessGroup, ProcessType, ReleaseVersion, Template, TemplateId, Workload,
    },
    port::{Scheduler, SchedulerError},
    routing::Endpoints,
};

/// A scheduler with nothing in it, and what its cases may run on it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The scheduler.
    pub scheduler: Arc<dyn Scheduler>,
    /// The table that it writes.
    pub endpoints: Endpoints,
    /// An artifact that all commands run in.
    pub artifact: Artifact,
    /// A command that soon listens on `$PORT` and ends on SIGTERM.
    pub serves: String,
    /// A command that ends at once.
    pub ends: String,
    /// A command that runs and does not listen.
    pub idles: String,
    /// How long the scheduler may take for anything that a case waits for.
    pub patience: Duration,
}

/// The process types of a workload: scale, template and command.
type Groups<'a> = &'a [(&'a str, u32, &'a str, &'a str)];

impl Subject {
    fn workload(&self, app: &AppRef, generation: u64, groups: Groups<'_>) -> Workload {
        let groups: BTreeMap<ProcessType, ProcessGroup> = groups
            .iter()
            .map(|(process, scale, id, command)| {
                let process = ProcessType::new(*process).expect("the cases name valid types");
                let launch = Launch { artifact: self.artifact.clone(), command: (*command).into() };
                let template = Template {
                    grace_seconds: 5,
                    ..Template::new(ReleaseVersion(1), process.clone(), launch)
                };
                (process, ProcessGroup { scale: *scale, id: TemplateId((*id).to_owned()), template })
            })
            .collect();
        Workload { app: app.clone(), generation: Generation(generation), groups }
    }

    async fn apply(&self, app: &AppRef, generation: u64, groups: Groups<'_>) {
        let workload = self.workload(app, generation, groups);
        self.scheduler.apply(&workload).await.expect("the workload is newer than all before");
    }

    async fn observe(&self, app: &AppRef) -> Observation {
        self.scheduler.observe(app).await.expect("the scheduler can be asked")
    }

    /// Waits until exactly `count` instances exist, all of template `id` and ready.
    async fn settled(&self, app: &AppRef, id: &str, count: usize) -> Vec<InstanceName> {
        until(self.patience, &format!("{count} ready instances of {id} and no others"), || async {
            let seen = self.observe(app).await.instances;
            let right = seen.len() == count && seen.iter().all(|i| i.template.0 == id && i.is_ready());
            right.then(|| seen.into_iter().map(|i| i.name).collect())
        })
        .await
    }

    async fn found(
        &self,
        app: &AppRef,
        what: &str,
        look: impl Fn(&Instance) -> bool + Send + Sync,
    ) -> Instance {
        until(self.patience, what, || async { self.observe(app).await.instances.into_iter().find(&look) })
            .await
    }

    async fn gone(&self, app: &AppRef) {
        until(self.patience, "nothing is left", || async {
            self.observe(app).await.instances.is_empty().then_some(())
        })
        .await;
    }

    fn in_rotation(&self, app: &AppRef) -> usize {
        self.endpoints.of(app.uid, &ProcessType::web()).iter().filter(|e| !e.draining).count()
    }
}

fn app() -> AppRef {
    AppRef { name: AppName::new("blog").expect("it is a valid name"), uid: AppUid(Uuid::new_v4()) }
}

/// Instances become ready and take requests, those of other types do not; all are counted.
pub async fn instances_become_ready(s: Subject) {
    let app = app();
    s.apply(&app, 1, &[("web", 2, "a", &s.serves), ("worker", 1, "a", &s.idles)]).await;
    let names = s.settled(&app, "a", 3).await;
    assert_eq!(s.in_rotation(&app), 2);
    assert_eq!(s.observe(&app).await.generation, Generation(1));
    assert_eq!(s.scheduler.apps().await.expect("it can be asked"), std::slice::from_ref(&app));
    let worker = ProcessType::new("worker").expect("it is valid");
    assert!(!s.endpoints.is_known(app.uid, &worker));
    assert!(names.iter().all(|name| name.as_str().starts_with("blog-w")));
}

/// The same generation again changes nothing, an older one is refused.
pub async fn generations_fence(s: Subject) {
    let app = app();
    s.apply(&app, 5, &[("web", 1, "a", &s.serves)]).await;
    let names = s.settled(&app, "a", 1).await;
    s.apply(&app, 5, &[("web", 1, "a", &s.serves)]).await;
    let old = s.workload(&app, 4, &[("web", 3, "b", &s.serves)]);
    match s.scheduler.apply(&old).await {
        Err(SchedulerError::Stale { given, current }) => {
            assert_eq!((given, current), (Generation(4), Generation(5)));
        }
        other => panic!("an older generation must be stale, not {other:?}"),
    }
    assert_eq!(s.settled(&app, "a", 1).await, names);
}

/// Scaling starts or stops the difference and touches nobody else.
pub async fn scaling_touches_nobody_else(s: Subject) {
    let app = app();
    s.apply(&app, 1, &[("web", 2, "a", &s.serves)]).await;
    let two = s.settled(&app, "a", 2).await;
    s.apply(&app, 2, &[("web", 3, "a", &s.serves)]).await;
    let three = s.settled(&app, "a", 3).await;
    assert!(two.iter().all(|name| three.contains(name)));
    s.apply(&app, 3, &[("web", 1, "a", &s.serves)]).await;
    let one = s.settled(&app, "a", 1).await;
    assert!(three.contains(&one[0]));
    s.apply(&app, 4, &[("web", 0, "a", &s.serves)]).await;
    s.gone(&app).await;
    assert_eq!(s.in_rotation(&app), 0);
}

/// A new template replaces the old one, and at no moment fewer instances than wanted take requests.
pub async fn rolling_leaves_no_gap(s: Subject) {
    let app = app();
    s.apply(&app, 1, &[("web", 2, "a", &s.serves)]).await;
    s.settled(&app, "a", 2).await;
    s.apply(&app, 2, &[("web", 2, "b", &s.serves)]).await;
    until(s.patience, "all instances are new", || async {
        let seen = s.observe(&app).await.instances;
        let ready = seen.iter().filter(|i| i.is_ready()).count();
        assert!(ready >= 2, "{ready} of 2 are ready: {seen:?}");
        assert!(s.in_rotation(&app) >= 2);
        let staying = seen.iter().filter(|i| !i.is_draining()).count();
        assert!(staying <= 3, "{staying} instances for 2 wanted: {seen:?}");
        (seen.len() == 2 && seen.iter().all(|i| i.template.0 == "b")).then_some(())
    })
    .await;
    assert_eq!(s.in_rotation(&app), 2);
}

/// A template that does not work is told so, with the evidence, while the old one serves; going back touches
/// nobody that works.
pub async fn a_broken_template_leaves_the_old_serving(s: Subject) {
    let app = app();
    s.apply(&app, 1, &[("web", 2, "a", &s.serves)]).await;
    let names = s.settled(&app, "a", 2).await;
    s.apply(&app, 2, &[("web", 2, "b", &s.ends)]).await;
    let is_failing = |i: &Instance| matches!(i.state, InstanceState::Failing { .. });
    let failing = s.found(&app, "a failing instance", is_failing).await;
    assert_eq!(failing.template.0, "b");
    let InstanceState::Failing { cause: Cause::CrashLoop { process, .. } } = failing.state else {
        panic!("it ends again and again, which is not {:?}", failing.state);
    };
    assert_eq!(process, ProcessType::web());
    assert_eq!(s.in_rotation(&app), 2);
    s.apply(&app, 3, &[("web", 2, "a", &s.serves)]).await;
    assert_eq!(s.settled(&app, "a", 2).await, names);
}

/// An instance that runs without listening is not ready.
pub async fn silence_is_not_readiness(s: Subject) {
    let app = app();
    s.apply(&app, 1, &[("web", 1, "a", &s.idles)]).await;
    s.found(&app, "an instance", |_| true).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let seen = s.observe(&app).await.instances;
    assert!(seen.len() == 1 && !seen[0].is_ready(), "{seen:?}");
    assert_eq!(s.in_rotation(&app), 0);
}

/// A process type that is not wanted any more leaves; the others stay.
pub async fn a_missing_type_leaves(s: Subject) {
    let app = app();
    s.apply(&app, 1, &[("web", 1, "a", &s.serves), ("worker", 2, "a", &s.idles)]).await;
    let names = s.settled(&app, "a", 3).await;
    s.apply(&app, 2, &[("web", 1, "a", &s.serves)]).await;
    let left = s.settled(&app, "a", 1).await;
    assert!(names.contains(&left[0]));
    assert_eq!(s.in_rotation(&app), 1);
}

/// The replacement of an evicted instance is ready before it leaves; unknown names are ignored.
pub async fn eviction_replaces_first(s: Subject) {
    let app = app();
    s.apply(&app, 1, &[("web", 1, "a", &s.serves)]).await;
    let before = s.settled(&app, "a", 1).await;
    let unknown = InstanceName::new("blog-web-1-zzzzz").expect("it is valid");
    s.scheduler.evict(&app, &[before[0].clone(), unknown]).await.expect("eviction is accepted");
    until(s.patience, "the replacement alone", || async {
        let seen = s.observe(&app).await.instances;
        assert!(seen.iter().any(Instance::is_ready), "{seen:?}");
        (seen.len() == 1 && seen[0].name != before[0]).then_some(())
    })
    .await;
}

/// An instance that is to leave gets no new request, and lives until those in flight are done.
pub async fn leaving_waits_for_requests(s: Subject) {
    let app = app();
    s.apply(&app, 1, &[("web", 1, "a", &s.serves)]).await;
    s.settled(&app, "a", 1).await;
    let lease = s.endpoints.lease(app.uid, &ProcessType::web(), &[]).expect("an instance is ready");
    s.apply(&app, 2, &[("web", 1, "b", &s.serves)]).await;
    s.found(&app, "the new instance", |i| i.template.0 == "b" && i.is_ready()).await;
    let old = s.found(&app, "the old instance on its way out", Instance::is_draining).await;
    assert_eq!(old.name, *lease.instance());
    assert!(lease.is_draining());
    let next = s.endpoints.lease(app.uid, &ProcessType::web(), &[]).expect("the new instance is ready");
    assert_ne!(next.instance(), lease.instance());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(s.observe(&app).await.instances.len(), 2, "it lives while the request is in flight");
    drop(lease);
    s.settled(&app, "b", 1).await;
}

/// Removal stops everything and nothing brings that life of the app back; another life is another app.
pub async fn removal_is_final(s: Subject) {
    let (old, new) = (app(), app());
    s.apply(&old, 7, &[("web", 1, "a", &s.serves)]).await;
    s.settled(&old, "a", 1).await;
    s.scheduler.remove(&old).await.expect("removal is accepted");
    s.scheduler.remove(&old).await.expect("and again");
    s.gone(&old).await;
    assert!(s.scheduler.apps().await.expect("it can be asked").is_empty());
    let late = s.workload(&old, 8, &[("web", 1, "a", &s.serves)]);
    assert!(matches!(s.scheduler.apply(&late).await, Err(SchedulerError::Stale { .. })));
    s.apply(&new, 1, &[("web", 1, "a", &s.serves)]).await;
    s.settled(&new, "a", 1).await;
    assert!(s.observe(&old).await.instances.is_empty());
}

/// Nothing is known of an unknown app, and that is no error.
pub async fn an_unknown_app_is_empty(s: Subject) {
    let app = app();
    assert_eq!(s.observe(&app).await, Observation::default());
    s.scheduler.evict(&app, &[]).await.expect("nothing is evicted");
    assert!(s.scheduler.apps().await.expect("it can be asked").is_empty());
    s.scheduler.remove(&app).await.expect("nothing is removed");
}

/// A newer workload takes the place of one that is still under way.
pub async fn a_newer_workload_supersedes(s: Subject) {
    let app = app();
    s.apply(&app, 1, &[("web", 1, "a", &s.idles)]).await;
    s.apply(&app, 2, &[("web", 2, "b", &s.ends)]).await;
    s.apply(&app, 3, &[("web", 2, "c", &s.serves)]).await;
    s.settled(&app, "c", 2).await;
}

/// Hands the names of all cases of [`conformance::scheduler`](crate::conformance::scheduler) to a macro of yours, after
/// whatever else it shall get: what a new scheduler forgets to run does not compile out of sight.
///
/// ```
/// macro_rules! count {
///     ($($case:ident)*) => { [$(stringify!($case)),*].len() };
/// }
/// assert_eq!(deis_core::scheduler_cases!(count;), 12);
/// ```
#[macro_export]
macro_rules! scheduler_cases {
    ($with:ident; $($own:tt)*) => {
        $with! { $($own)*
            instances_become_ready
            generations_fence
            scaling_touches_nobody_else
            rolling_leaves_no_gap
            a_broken_template_leaves_the_old_serving
            silence_is_not_readiness
            a_missing_type_leaves
            eviction_replaces_first
            leaving_waits_for_requests
            removal_is_final
            an_unknown_app_is_empty
            a_newer_workload_supersedes
        }
    };
}
