//! Cases about the time between ready and available.

use std::time::{Duration, Instant};

use super::SchedulerSubject;
use crate::{
    conformance::wait::until,
    model::{Cause, Instance, InstanceState},
};

/// Seconds that an instance must be ready in these cases: long enough to be looked at in between on any machine.
const MIN_READY: u32 = 2;

fn is_available(instance: &Instance) -> bool {
    instance.is_ready() && instance.available
}

/// An instance is ready first, and available when it has been ready for the minimum ready time.
pub async fn readiness_comes_before_availability(s: SchedulerSubject) {
    let (app, begun) = (s.app(), Instant::now());
    s.apply_slowly(&app, 1, MIN_READY, &[("web", 1, "a", &s.serves)]).await;
    let ready = s.found(&app, "a ready instance", Instance::is_ready).await;
    let available = s.found(&app, "an available instance", is_available).await;
    assert!(begun.elapsed() >= Duration::from_secs(u64::from(MIN_READY)), "it was available too early");
    assert_eq!(ready.name, available.name, "it was not started again for that");
}

/// An old instance leaves only when a new one is available; a new one that is only ready makes no room.
pub async fn old_instances_wait_for_availability(s: SchedulerSubject) {
    let app = s.app();
    s.apply(&app, 1, &[("web", 2, "a", &s.serves)]).await;
    s.settled(&app, "a", 2).await;
    s.apply_slowly(&app, 2, MIN_READY, &[("web", 2, "b", &s.serves)]).await;
    until(s.patience, "two available instances of b and no others", || async {
        let seen = s.observe(&app).await.instances;
        let staying = seen.iter().filter(|i| i.template.0 == "a" && i.is_ready()).count();
        let available = seen.iter().filter(|i| i.template.0 == "b" && is_available(i)).count();
        assert!(staying + available >= 2, "one left too early: {seen:?}");
        (seen.len() == 2 && available == 2).then_some(())
    })
    .await;
}

/// A change of the minimum ready time alone restarts nobody, and instances that are available stay so.
pub async fn a_longer_ready_time_restarts_nobody(s: SchedulerSubject) {
    let app = s.app();
    s.apply(&app, 1, &[("web", 1, "a", &s.serves)]).await;
    let names = s.settled(&app, "a", 1).await;
    s.apply_slowly(&app, 2, MIN_READY, &[("web", 2, "a", &s.serves)]).await;
    let both = s.settled(&app, "a", 2).await;
    assert!(both.contains(&names[0]), "a longer time restarts nobody");
}

/// A type without any check is not available because it was started: one that ends at once never is.
pub async fn what_ends_at_once_is_never_available(s: SchedulerSubject) {
    let app = s.app();
    s.apply_slowly(&app, 1, MIN_READY, &[("worker", 1, "a", &s.ends)]).await;
    let failing = until(s.patience, "a failing instance", || async {
        let seen = s.observe(&app).await.instances;
        assert!(!seen.iter().any(is_available), "it has ended and is available: {seen:?}");
        seen.into_iter().find(|i| matches!(i.state, InstanceState::Failing { .. }))
    })
    .await;
    assert!(
        matches!(&failing.state, InstanceState::Failing { cause: Cause::CrashLoop { .. } }),
        "{:?}",
        failing.state
    );
}

/// A new template whose instances keep losing their readiness is told to be failing, and the old one stays.
pub async fn a_template_that_comes_and_goes_is_failing(s: SchedulerSubject) {
    let app = s.app();
    s.apply(&app, 1, &[("web", 2, "a", &s.serves)]).await;
    let names = s.settled(&app, "a", 2).await;
    s.apply_slowly(&app, 2, MIN_READY, &[("web", 2, "b", &s.flaps)]).await;
    let failing = until(s.patience, "a failing instance", || async {
        let seen = s.observe(&app).await.instances;
        let old = seen.iter().filter(|i| i.template.0 == "a" && i.is_ready()).count();
        assert_eq!(old, 2, "an old one left for one that does not stay: {seen:?}");
        seen.into_iter().find(|i| matches!(i.state, InstanceState::Failing { .. }))
    })
    .await;
    assert_eq!(failing.template.0, "b");
    let InstanceState::Failing { cause: Cause::NotListening { .. } | Cause::Probe { .. } } = failing.state
    else {
        panic!("it comes and goes, which is not {:?}", failing.state);
    };
    s.apply(&app, 3, &[("web", 2, "a", &s.serves)]).await;
    assert_eq!(s.settled(&app, "a", 2).await, names);
}
