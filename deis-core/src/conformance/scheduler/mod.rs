//! What every scheduler must do. Each case takes a [`SchedulerSubject`] of its own and panics where the promise is broken.
//!
//! A case makes apps with names of its own, and expects neither to be alone on the scheduler nor that nothing else is
//! there. What only a scheduler can promise whose instances are leased in this process is in
//! [`leases`](super::leases).

mod availability;
mod subject;

use std::time::Duration;

use super::wait::until;
use crate::{
    model::{Cause, Generation, Instance, InstanceName, InstanceState, Observation, ProcessType},
    port::SchedulerError,
};

pub use availability::*;
pub use subject::SchedulerSubject;

/// Instances become ready, whatever their type, and all are counted.
pub async fn instances_become_ready(s: SchedulerSubject) {
    let app = s.app();
    s.apply(&app, 1, &[("web", 2, "a", &s.serves), ("worker", 1, "a", &s.idles)]).await;
    let names = s.settled(&app, "a", 3).await;
    assert_eq!(s.observe(&app).await.generation, Generation(1));
    assert!(s.scheduler.apps().await.expect("it can be asked").contains(&app));
    let prefix = format!("{}-w", app.name);
    assert!(names.iter().all(|name| name.as_str().starts_with(&prefix)), "{names:?}");
}

/// The same generation again changes nothing, an older one is refused.
pub async fn generations_fence(s: SchedulerSubject) {
    let app = s.app();
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
pub async fn scaling_touches_nobody_else(s: SchedulerSubject) {
    let app = s.app();
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
}

/// A new template replaces the old one, and at no moment fewer instances than wanted are ready.
pub async fn rolling_leaves_no_gap(s: SchedulerSubject) {
    let app = s.app();
    s.apply(&app, 1, &[("web", 2, "a", &s.serves)]).await;
    s.settled(&app, "a", 2).await;
    s.apply(&app, 2, &[("web", 2, "b", &s.serves)]).await;
    until(s.patience, "all instances are new", || async {
        let seen = s.observe(&app).await.instances;
        let ready = seen.iter().filter(|i| i.is_ready()).count();
        assert!(ready >= 2, "{ready} of 2 are ready: {seen:?}");
        let staying = seen.iter().filter(|i| !i.is_draining()).count();
        assert!(staying <= 3, "{staying} instances for 2 wanted: {seen:?}");
        (seen.len() == 2 && seen.iter().all(|i| i.template.0 == "b")).then_some(())
    })
    .await;
}

/// A template that does not work is told so, with the evidence, while the old one serves; going back touches
/// nobody that works.
pub async fn a_broken_template_leaves_the_old_serving(s: SchedulerSubject) {
    let app = s.app();
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
    assert_eq!(s.ready(&app, "a").await, 2);
    s.apply(&app, 3, &[("web", 2, "a", &s.serves)]).await;
    assert_eq!(s.settled(&app, "a", 2).await, names);
}

/// An instance that runs without listening is not ready.
pub async fn silence_is_not_readiness(s: SchedulerSubject) {
    let app = s.app();
    s.apply(&app, 1, &[("web", 1, "a", &s.idles)]).await;
    s.found(&app, "an instance", |_| true).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let seen = s.observe(&app).await.instances;
    assert!(seen.len() == 1 && !seen[0].is_ready(), "{seen:?}");
}

/// A process type that is not wanted any more leaves; the others stay.
pub async fn a_missing_type_leaves(s: SchedulerSubject) {
    let app = s.app();
    s.apply(&app, 1, &[("web", 1, "a", &s.serves), ("worker", 2, "a", &s.idles)]).await;
    let names = s.settled(&app, "a", 3).await;
    s.apply(&app, 2, &[("web", 1, "a", &s.serves)]).await;
    let left = s.settled(&app, "a", 1).await;
    assert!(names.contains(&left[0]));
}

/// The replacement of an evicted instance is ready before it leaves; unknown names are ignored.
pub async fn eviction_replaces_first(s: SchedulerSubject) {
    let app = s.app();
    s.apply(&app, 1, &[("web", 1, "a", &s.serves)]).await;
    let before = s.settled(&app, "a", 1).await;
    let unknown = InstanceName::new(format!("{}-web-1-zzzzz", app.name)).expect("it is valid");
    s.scheduler.evict(&app, &[before[0].clone(), unknown]).await.expect("eviction is accepted");
    until(s.patience, "the replacement alone", || async {
        let seen = s.observe(&app).await.instances;
        assert!(seen.iter().any(Instance::is_ready), "{seen:?}");
        (seen.len() == 1 && seen[0].name != before[0]).then_some(())
    })
    .await;
}

/// Removal stops everything, tells what is left until nothing is, and nothing brings that life of the app back; another life is another app.
pub async fn removal_is_final(s: SchedulerSubject) {
    let old = s.app();
    let new = s.another_life(&old);
    s.apply(&old, 7, &[("web", 1, "a", &s.serves)]).await;
    s.settled(&old, "a", 1).await;
    s.scheduler.remove(&old).await.expect("removal is accepted");
    s.scheduler.remove(&old).await.expect("and again");
    s.gone(&old).await;
    assert!(!s.scheduler.apps().await.expect("it can be asked").contains(&old));
    assert_eq!(s.observe(&old).await.remains, None, "its name is free");
    let late = s.workload(&old, 8, &[("web", 1, "a", &s.serves)]);
    assert!(matches!(s.scheduler.apply(&late).await, Err(SchedulerError::Stale { .. })));
    s.apply(&new, 1, &[("web", 1, "a", &s.serves)]).await;
    s.settled(&new, "a", 1).await;
    assert!(s.observe(&old).await.instances.is_empty());
}

/// Nothing is known of an unknown app, and that is no error.
pub async fn an_unknown_app_is_empty(s: SchedulerSubject) {
    let app = s.app();
    assert_eq!(s.observe(&app).await, Observation::default());
    s.scheduler.evict(&app, &[]).await.expect("nothing is evicted");
    assert!(!s.scheduler.apps().await.expect("it can be asked").contains(&app));
    s.scheduler.remove(&app).await.expect("nothing is removed");
}

/// A newer workload takes the place of one that is still under way.
pub async fn a_newer_workload_supersedes(s: SchedulerSubject) {
    let app = s.app();
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
/// assert_eq!(deis_core::scheduler_cases!(count;), 16);
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
            removal_is_final
            an_unknown_app_is_empty
            a_newer_workload_supersedes
            readiness_comes_before_availability
            old_instances_wait_for_availability
            a_longer_ready_time_restarts_nobody
            what_ends_at_once_is_never_available
            a_template_that_comes_and_goes_is_failing
        }
    };
}
