//! What a scheduler must do whose instances are leased in this process: it drains by lease and not by time.

use std::time::Duration;

use super::{scheduler, wait::until};
use crate::{
    model::{AppRef, Instance, ProcessType},
    routing::Endpoints,
};

/// A scheduler to be tried, and the table that it writes.
#[derive(Clone, Debug)]
pub struct LeaseSubject {
    /// The scheduler, and what its cases may run on it.
    pub scheduler: scheduler::SchedulerSubject,
    /// The table that it writes.
    pub endpoints: Endpoints,
}

impl LeaseSubject {
    fn in_rotation(&self, app: &AppRef) -> usize {
        self.endpoints.of(app.uid, &ProcessType::web()).iter().filter(|e| !e.draining).count()
    }
}

/// Instances that become ready take requests, those of other types do not, and after a scale to zero none does.
pub async fn ready_instances_take_requests(subject: LeaseSubject) {
    let (s, app) = (&subject.scheduler, subject.scheduler.app());
    s.apply(&app, 1, &[("web", 2, "a", &s.serves), ("worker", 1, "a", &s.idles)]).await;
    s.settled(&app, "a", 3).await;
    assert_eq!(subject.in_rotation(&app), 2);
    let worker = ProcessType::new("worker").expect("it is valid");
    assert!(!subject.endpoints.is_known(app.uid, &worker));
    s.apply(&app, 2, &[("web", 0, "a", &s.serves)]).await;
    s.gone(&app).await;
    assert_eq!(subject.in_rotation(&app), 0);
}

/// At no moment of a rollout fewer instances than wanted take requests; a new one does before it is available.
pub async fn requests_see_no_gap(subject: LeaseSubject) {
    let (s, app) = (&subject.scheduler, subject.scheduler.app());
    s.apply(&app, 1, &[("web", 2, "a", &s.serves)]).await;
    s.settled(&app, "a", 2).await;
    s.apply_slowly(&app, 2, 2, &[("web", 2, "b", &s.serves)]).await;
    until(s.patience, "a new instance beside the two old ones", || async {
        let known = subject.endpoints.of(app.uid, &ProcessType::web());
        assert!(known.iter().filter(|e| !e.draining).count() >= 2, "{known:?}");
        (known.iter().filter(|e| !e.draining).count() == 3).then_some(())
    })
    .await;
    until(s.patience, "all instances are new", || async {
        assert!(subject.in_rotation(&app) >= 2);
        let seen = s.observe(&app).await.instances;
        (seen.len() == 2 && seen.iter().all(|i| i.template.0 == "b")).then_some(())
    })
    .await;
    assert_eq!(subject.in_rotation(&app), 2);
}

/// An instance that runs without listening takes no requests.
pub async fn silent_instances_take_no_requests(subject: LeaseSubject) {
    let (s, app) = (&subject.scheduler, subject.scheduler.app());
    s.apply(&app, 1, &[("web", 1, "a", &s.idles)]).await;
    s.found(&app, "an instance", |_| true).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(subject.in_rotation(&app), 0);
}

/// An instance that is to leave gets no new request, and lives until those in flight are done.
pub async fn leaving_waits_for_requests(subject: LeaseSubject) {
    let (s, app) = (&subject.scheduler, subject.scheduler.app());
    let endpoints = &subject.endpoints;
    s.apply(&app, 1, &[("web", 1, "a", &s.serves)]).await;
    s.settled(&app, "a", 1).await;
    let lease = endpoints.lease(app.uid, &ProcessType::web(), &[]).expect("an instance is ready");
    s.apply(&app, 2, &[("web", 1, "b", &s.serves)]).await;
    s.found(&app, "the new instance", |i| i.template.0 == "b" && i.is_ready()).await;
    let old = s.found(&app, "the old instance on its way out", Instance::is_draining).await;
    assert_eq!(old.name, *lease.instance());
    assert!(lease.is_draining());
    let next = endpoints.lease(app.uid, &ProcessType::web(), &[]).expect("the new instance is ready");
    assert_ne!(next.instance(), lease.instance());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(s.observe(&app).await.instances.len(), 2, "it lives while the request is in flight");
    drop((lease, next));
    s.settled(&app, "b", 1).await;
}

/// An instance to which a connection was refused takes requests again once it passes a check.
pub async fn a_refused_instance_comes_back(subject: LeaseSubject) {
    let (s, app) = (&subject.scheduler, subject.scheduler.app());
    let endpoints = &subject.endpoints;
    s.apply(&app, 1, &[("web", 2, "a", &s.serves)]).await;
    s.settled(&app, "a", 2).await;
    let lease = endpoints.lease(app.uid, &ProcessType::web(), &[]).expect("an instance is ready");
    endpoints.refused(&lease);
    until(s.patience, "no instance is refused any more", || async {
        let known = endpoints.of(app.uid, &ProcessType::web());
        known.iter().all(|e| !e.refused && !e.draining).then_some(())
    })
    .await;
}

/// Hands the names of all cases of [`conformance::leases`](crate::conformance::leases) to a macro of yours, after
/// whatever else it shall get.
///
/// ```
/// macro_rules! count {
///     ($($case:ident)*) => { [$(stringify!($case)),*].len() };
/// }
/// assert_eq!(deis_core::lease_cases!(count;), 5);
/// ```
#[macro_export]
macro_rules! lease_cases {
    ($with:ident; $($own:tt)*) => {
        $with! { $($own)*
            ready_instances_take_requests
            requests_see_no_gap
            silent_instances_take_no_requests
            leaving_waits_for_requests
            a_refused_instance_comes_back
        }
    };
}
