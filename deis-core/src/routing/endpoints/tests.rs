use uuid::Uuid;

use super::*;

fn uid(n: u128) -> AppUid {
    AppUid(Uuid::from_u128(n))
}

fn name(text: &str) -> InstanceName {
    InstanceName::new(text).unwrap()
}

fn seen(instance: &str, port: u16) -> EndpointInfo {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    EndpointInfo::ready(ProcessType::web(), name(instance), TemplateId("t".into()), address)
}

/// A table with these instances of app 1, ready.
fn table(instances: &[(&str, u16)]) -> Endpoints {
    let endpoints = Endpoints::default();
    for (instance, port) in instances {
        add(&endpoints, uid(1), instance, *port);
    }
    endpoints
}

fn add(endpoints: &Endpoints, app: AppUid, instance: &str, port: u16) {
    let info = seen(instance, port);
    endpoints.add(app, &info.process, &info.instance, &info.template, info.address);
}

fn lease(endpoints: &Endpoints, app: AppUid, except: &[InstanceName]) -> Option<Lease> {
    endpoints.lease(app, &ProcessType::web(), except)
}

/// Where `count` requests go, one after the other.
fn turns(endpoints: &Endpoints, count: usize) -> Vec<String> {
    (0..count).map(|_| lease(endpoints, uid(1), &[]).unwrap().instance().to_string()).collect()
}

#[tokio::test]
async fn a_draining_instance_takes_nothing_new_and_waits_for_the_old() {
    let endpoints = table(&[("a", 1)]);
    let held = lease(&endpoints, uid(1), &[]).unwrap();
    endpoints.drain(uid(1), &name("a"));
    assert!(held.is_draining() && lease(&endpoints, uid(1), &[]).is_none());
    let waiting = tokio::spawn({
        let endpoints = endpoints.clone();
        async move { endpoints.idle(uid(1), &name("a")).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(held);
    waiting.await.unwrap();
    endpoints.remove(uid(1), &ProcessType::web(), &name("a"));
    assert!(!endpoints.is_known(uid(1), &ProcessType::web()));
}

#[test]
fn the_least_busy_instance_is_leased() {
    let endpoints = table(&[("a", 1), ("b", 2)]);
    let (one, two) = (lease(&endpoints, uid(1), &[]).unwrap(), lease(&endpoints, uid(1), &[]).unwrap());
    assert_ne!(one.instance(), two.instance());
    assert!(!one.is_only());
    let only = lease(&endpoints, uid(1), &[name("a")]).unwrap();
    assert!(only.is_only() && *only.instance() == name("b"));
}

#[test]
fn requests_one_after_the_other_go_to_all_in_turn() {
    let went = turns(&table(&[("a", 1), ("b", 2)]), 6);
    assert_eq!(went.iter().filter(|name| *name == "a").count(), 3, "{went:?}");
}

#[test]
fn a_refused_instance_is_out_of_rotation_until_its_next_passed_check() {
    let endpoints = table(&[("a", 1), ("b", 2)]);
    endpoints.refused(&lease(&endpoints, uid(1), &[name("b")]).unwrap());
    assert_eq!(turns(&endpoints, 4), ["b"; 4]);
    assert_eq!(
        *lease(&endpoints, uid(1), &[name("b")]).unwrap().instance(),
        name("a"),
        "better than nothing"
    );
    endpoints.set(uid(1), &[seen("a", 1), seen("b", 2)]);
    assert_eq!(turns(&endpoints, 4), ["b"; 4], "seeing it is no check of it");
    endpoints.passed(uid(1), &name("a"));
    assert!(turns(&endpoints, 4).contains(&"a".to_owned()));
    endpoints.drain(uid(1), &name("a"));
    endpoints.passed(uid(1), &name("a"));
    assert_eq!(turns(&endpoints, 4), ["b"; 4], "a check does not bring back what leaves");
}

#[test]
fn the_best_class_that_is_not_empty_is_used() {
    let endpoints = Endpoints::default();
    let of = |instance, port, class| EndpointInfo { class, ..seen(instance, port) };
    let (ready, containers, running) =
        (EndpointClass::Ready, EndpointClass::ContainersReady, EndpointClass::Running);
    let all = [of("a", 1, running), of("b", 2, ready), of("c", 3, containers)];
    for (count, best) in [(3, "b"), (1, "a")] {
        endpoints.set(uid(1), &all[..count]);
        assert_eq!(turns(&endpoints, 3), [best; 3]);
    }
    endpoints.set(uid(1), &[all[0].clone(), all[2].clone()]);
    assert_eq!(turns(&endpoints, 3), ["c"; 3]);
    let deleted = EndpointInfo { draining: true, ..all[1].clone() };
    endpoints.set(uid(1), &[deleted]);
    assert!(lease(&endpoints, uid(1), &[]).is_none(), "a mark of deletion is in no class");
}

#[test]
fn a_whole_state_replaces_what_was_known_and_keeps_what_goes_on() {
    let endpoints = table(&[("a", 1), ("b", 2)]);
    let (a, b) =
        (lease(&endpoints, uid(1), &[name("b")]).unwrap(), lease(&endpoints, uid(1), &[name("a")]).unwrap());
    endpoints.set(uid(1), &[seen("b", 2), seen("c", 3)]);
    let known: Vec<_> =
        endpoints.of(uid(1), &ProcessType::web()).into_iter().map(|e| (e.instance, e.in_flight)).collect();
    assert_eq!(known, [(name("b"), 1), (name("c"), 0)]);
    assert!(a.is_draining() && !b.is_draining());
}

#[test]
fn an_address_belongs_to_whoever_showed_it_last() {
    let endpoints = table(&[("a", 1), ("b", 2)]);
    let old = lease(&endpoints, uid(1), &[name("b")]).unwrap();
    add(&endpoints, uid(2), "x", 1);
    assert_eq!(turns(&endpoints, 3), ["b"; 3], "no request reaches another app");
    assert!(old.is_draining());
    let new = lease(&endpoints, uid(2), &[]).unwrap();
    assert_eq!(new.address(), old.address());
    assert_ne!(new.serial(), old.serial(), "a pool tells their connections apart");
    // The earlier one ends after that: it takes nothing away from the later one.
    endpoints.remove(uid(1), &ProcessType::web(), &name("a"));
    assert!(lease(&endpoints, uid(2), &[]).is_some());
    endpoints.set(uid(3), &[seen("y", 1)]);
    assert!(lease(&endpoints, uid(2), &[]).is_none());
}

#[tokio::test]
async fn another_class_keeps_the_leases_and_the_refusal() {
    let endpoints = table(&[("a", 1), ("b", 2)]);
    let held = lease(&endpoints, uid(1), &[name("b")]).unwrap();
    endpoints.refused(&held);
    let unready = EndpointInfo { class: EndpointClass::ContainersReady, ..seen("a", 1) };
    endpoints.set(uid(1), &[unready, seen("b", 2)]);
    let known = endpoints.of(uid(1), &ProcessType::web());
    let a = known.iter().find(|info| info.instance == name("a")).unwrap();
    assert_eq!((a.class, a.in_flight, a.refused), (EndpointClass::ContainersReady, 1, true));
    assert!(!held.is_draining(), "it goes on being there");
    endpoints.set(uid(1), &[seen("a", 1), seen("b", 2)]);
    assert_eq!(turns(&endpoints, 4), ["b"; 4], "a is ready again, and was refused since its last check");
    // A drain still waits for the request that was given out before.
    endpoints.drain(uid(1), &name("a"));
    let a = name("a");
    let idle = endpoints.idle(uid(1), &a);
    tokio::pin!(idle);
    assert!(futures_util::poll!(idle.as_mut()).is_pending());
    drop(held);
    idle.await;
}

#[test]
fn a_ready_instance_is_of_the_best_class_whatever_it_was() {
    let endpoints = Endpoints::default();
    endpoints.set(uid(1), &[EndpointInfo { class: EndpointClass::Running, ..seen("a", 1) }, seen("b", 2)]);
    assert_eq!(turns(&endpoints, 2), ["b"; 2]);
    add(&endpoints, uid(1), "a", 1);
    assert!(turns(&endpoints, 4).contains(&"a".to_owned()));
}
