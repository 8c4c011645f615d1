//! What a time-out is blamed on, what is said meanwhile, and what is no evidence.

use super::*;
use crate::plan::{convergence::missing, progress::progress};

fn quota() -> Cause {
    Cause::Quota { reason: "full".to_owned() }
}

/// What is blamed when the time is up.
fn blamed(seen: Observation) -> Cause {
    let mut case = case(Phase::Rolling);
    case.seen = Some(seen);
    case.spent = Duration::from_secs(600);
    match case.step() {
        Step::Enter(Phase::Reverting { cause }) => cause,
        other => panic!("its time is up, and it is {other:?}"),
    }
}

fn with_trouble(mut seen: Observation, place: usize, cause: Cause) -> Observation {
    seen.instances[place].trouble = Some(cause);
    seen
}

#[test]
fn the_last_trouble_of_an_instance_that_is_missing_is_blamed() {
    let starting = || seen(G, &[("new", Ready), ("new", Starting)]);
    assert_eq!(blamed(with_trouble(starting(), 1, crash())), crash());
    // A ready one had its trouble before.
    let Cause::Timeout { step, seconds, detail } = blamed(with_trouble(starting(), 0, crash())) else {
        panic!("only what is missing is blamed")
    };
    assert_eq!((&*step, seconds, &*detail), ("rolling", 122, "web 1 of 2 ready"));
    // Neither is one of another version.
    let old = seen(G, &[("old", Starting), ("new", Ready), ("new", Starting)]);
    assert!(matches!(blamed(with_trouble(old, 0, crash())), Cause::Timeout { .. }));
}

#[test]
fn want_of_room_is_blamed_though_it_was_no_evidence() {
    let no_room = InstanceState::Failing { cause: quota() };
    let draining = seen(G, &[("old", InstanceState::Draining), ("new", Ready), ("new", no_room.clone())]);
    assert_eq!(blamed(with_trouble(draining, 2, crash())), quota(), "its state comes before its trouble");
    let unschedulable = || Cause::Unschedulable { reason: "taints".to_owned() };
    let mut leaving = seen(G, &[("old", InstanceState::Draining), ("new", Ready)]);
    leaving.blocked = vec![(ProcessType::cmd(), quota()), (ProcessType::web(), unschedulable())];
    assert_eq!(blamed(leaving), unschedulable());
}

#[test]
fn a_type_that_lacks_nothing_is_not_blocked() {
    let mut young = seen(G, &[("new", Ready), ("young", Ready)]);
    young.blocked = vec![(ProcessType::web(), crash())];
    let mut rolling = case(Phase::Rolling);
    rolling.seen = Some(young.clone());
    assert_eq!(rolling.step(), Step::Wait);
    let blamed = blamed(young).to_string();
    assert!(blamed.ends_with("web 2 of 2 ready, 1 available"), "{blamed}");
}

#[test]
fn want_of_room_of_either_kind_waits_for_those_who_leave() {
    for cause in [quota(), Cause::Unschedulable { reason: "taints".to_owned() }] {
        let no_room = InstanceState::Failing { cause };
        let leaving = [("old", InstanceState::Draining), ("new", Ready), ("new", no_room)];
        assert_eq!(case(Phase::Rolling).seeing(G, &leaving).step(), Step::Wait);
    }
    let leaving = [("old", InstanceState::Draining), ("new", Ready), ("new", failing())];
    assert!(matches!(case(Phase::Rolling).seeing(G, &leaving).step(), Step::Enter(Phase::Reverting { .. })));
}

fn target(scales: &[(ProcessType, u32)]) -> Workload {
    let groups = scales.iter().map(|(process, scale)| (process.clone(), group("new", *scale))).collect();
    Workload { app: app(), generation: Generation(G), groups }
}

#[test]
fn what_is_missing_is_said_of_each_type_that_is_wanted() {
    let worker = ProcessType::new("worker").unwrap();
    let all = target(&[(ProcessType::web(), 2), (ProcessType::cmd(), 0), (worker, 1)]);
    let says = |instances: &[(&str, InstanceState)]| missing(&all, &seen(G, instances));
    assert_eq!(says(&[("new", Ready), ("old", Ready)]), "web 1 of 2 ready, worker 0 of 1 ready");
    assert_eq!(
        says(&[("new", Ready), ("new", InstanceState::Draining)]),
        "web 1 of 2 ready, worker 0 of 1 ready"
    );
    let young = [("young", Ready), ("young", Ready)];
    assert_eq!(says(&young), "web 2 of 2 ready, 0 available, worker 0 of 1 ready");
    let young = [("young", Ready), ("new", Ready), ("new", Ready)];
    assert_eq!(says(&young), "web 3 of 2 ready, worker 0 of 1 ready", "enough of them are available");
    // An instance that was available and is not ready is neither.
    let mut lost = seen(G, &[("new", Starting), ("new", Ready), ("young", Ready)]);
    lost.instances[0].available = true;
    assert_eq!(missing(&all, &lost), "web 2 of 2 ready, 1 available, worker 0 of 1 ready");
}

#[test]
fn each_phase_says_what_it_does() {
    let web = target(&[(ProcessType::web(), 2)]);
    let says = |phase: Phase, target: &Workload, seen: Option<&Observation>| {
        progress(&case(phase).rollout, target, seen)
    };
    let one = seen(G, &[("new", Ready)]);
    assert_eq!(says(Phase::Staging, &web, None).unwrap(), "preparing");
    assert_eq!(says(Phase::Rolling, &web, Some(&one)).unwrap(), "web 1 of 2 ready");
    assert_eq!(says(Phase::Rolling, &web, None), None);
    let nothing = target(&[(ProcessType::web(), 0)]);
    assert!(says(Phase::Rolling, &nothing, Some(&one)).unwrap().starts_with("starting nothing"));
    assert!(says(reverting(), &web, None).unwrap().starts_with("going back: "));
    for ended in [Phase::Routing, Phase::Succeeded, failed()] {
        assert_eq!(says(ended, &web, Some(&one)), None);
    }
}
