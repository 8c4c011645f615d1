//! The rows of the table by example where instances decide; all rows by a matrix.

#![allow(clippy::option_option, reason = "unreachable, empty and filled are three answers of a router")]

mod blame;
mod matrix;
mod table;

use super::*;
use crate::model::{
    AppName, AppRef, AppUid, Artifact, Digest, Formation, Instance, InstanceName, InstanceState, Launch,
    ProcessGroup, ProcessType, ReleaseVersion, Template, TemplateId, Timestamp,
};
use crate::plan::constants::RELEASE_COMMAND_LIMIT;

const G: u64 = 7;
const LIVE: u64 = 4;

struct Case {
    rollout: Rollout,
    workloads: Workloads,
    live: Option<Workload>,
    seen: Option<Observation>,
    router: Option<Option<RouteFence>>,
    task: Option<TaskObservation>,
    artifact: ArtifactState<'static>,
    spent: Duration,
    stalled: Duration,
    refused: Option<Generation>,
}

fn app() -> AppRef {
    AppRef { name: AppName::new("blog").unwrap(), uid: AppUid(uuid::Uuid::nil()) }
}

fn group(id: &str, scale: u32) -> ProcessGroup {
    let launch = Launch { artifact: Artifact::Slug { digest: Digest::of(b"x") }, command: "x".into() };
    let template = Template::new(ReleaseVersion(2), ProcessType::web(), launch);
    ProcessGroup { scale, min_ready: 1, id: TemplateId(id.to_owned()), template }
}

fn case(phase: Phase) -> Case {
    let live = Workload {
        app: app(),
        generation: Generation(LIVE),
        groups: [(ProcessType::web(), group("old", 2))].into(),
    };
    let groups = [(ProcessType::web(), group("new", 2))].into();
    let workloads = super::super::lower::workloads(&app(), Generation(G), groups, Some(&live));
    let rollout = Rollout {
        generation: Generation(G),
        target: ReleaseVersion(2),
        attempt: Attempt(G),
        absorbed: Vec::new(),
        decides: true,
        phase,
        command: ReleaseCommand::None,
        retires: false,
        live_generation: Generation(LIVE),
        restored: Formation::default(),
        spent_ms: 0,
        stalled_ms: 0,
        deadline_ms: 122_000,
        started: Timestamp(0),
    };
    Case {
        rollout,
        workloads,
        live: Some(live),
        seen: Some(seen(LIVE, &[("old", InstanceState::Ready), ("old", InstanceState::Ready)])),
        router: Some(Some(fence(LIVE))),
        task: Some(TaskObservation { fence: Attempt(G), older_running: false, state: TaskState::Unknown }),
        artifact: ArtifactState::Ready,
        spent: Duration::ZERO,
        stalled: Duration::ZERO,
        refused: None,
    }
}

fn fence(generation: u64) -> RouteFence {
    RouteFence { routes: 1, generation: Generation(generation) }
}

/// A `young` instance is a new one that has yet to become available.
fn seen(generation: u64, instances: &[(&str, InstanceState)]) -> Observation {
    let instance = |(n, (id, state)): (usize, &(&str, InstanceState))| Instance {
        name: InstanceName::new(format!("blog-web-1-{n}")).unwrap(),
        process: ProcessType::web(),
        template: TemplateId(if *id == "young" { "new" } else { id }.to_owned()),
        release: ReleaseVersion(1),
        state: state.clone(),
        available: *state == Ready && *id != "young",
        started: Timestamp(0),
        trouble: None,
    };
    Observation {
        generation: Generation(generation),
        instances: instances.iter().enumerate().map(instance).collect(),
        ..Observation::default()
    }
}

impl Case {
    fn step(&self) -> Step {
        next_step(&RolloutInputs {
            rollout: &self.rollout,
            workloads: &self.workloads,
            live: self.live.as_ref(),
            routes: 1,
            scheduler: self.seen.as_ref(),
            router: self.router,
            task: self.task.as_ref(),
            artifact: self.artifact,
            process: uuid::Uuid::nil(),
            spent: self.spent,
            stalled: self.stalled,
            command_limit: RELEASE_COMMAND_LIMIT,
            refused: self.refused,
        })
    }

    fn seeing(mut self, generation: u64, instances: &[(&str, InstanceState)]) -> Self {
        self.seen = Some(seen(generation, instances));
        self
    }
}

use InstanceState::{Ready, Starting};

fn crash() -> Cause {
    Cause::CrashLoop { process: ProcessType::web(), exit: Exit::Code(1), last_lines: Vec::new() }
}

fn failing() -> InstanceState {
    InstanceState::Failing { cause: crash() }
}

fn reverting() -> Phase {
    Phase::Reverting { cause: crash() }
}

fn failed() -> Phase {
    Phase::Failed { cause: crash(), fallback_unhealthy: false }
}

#[test]
fn a_refusal_of_something_else_says_nothing() {
    let mut held = case(Phase::Succeeded).seeing(0, &[]);
    held.refused = Some(Generation(LIVE));
    assert_eq!(held.step(), Step::Apply(WorkloadRole::Target));
}

#[test]
fn another_templates_trouble_and_surplus_are_no_evidence() {
    let old_fails = [("old", failing()), ("new", Ready), ("new", Starting)];
    assert_eq!(case(Phase::Rolling).seeing(G, &old_fails).step(), Step::Wait);
    let surplus = [("new", Ready), ("new", Ready), ("new", failing())];
    assert_eq!(case(Phase::Rolling).seeing(G, &surplus).step(), Step::Enter(Phase::Routing));
}

#[test]
fn what_fails_above_the_scale_is_no_evidence() {
    let surplus = [("new", Ready), ("new", Starting), ("new", failing())];
    assert_eq!(case(Phase::Rolling).seeing(G, &surplus).step(), Step::Wait);
    let missing = [("new", Ready), ("new", failing())];
    assert!(matches!(case(Phase::Rolling).seeing(G, &missing).step(), Step::Enter(Phase::Reverting { .. })));
}

#[test]
fn want_of_room_counts_only_when_no_room_can_come() {
    let quota = || InstanceState::Failing { cause: Cause::Quota { reason: "full".into() } };
    let reverts = |seen: &[(&str, InstanceState)]| {
        matches!(case(Phase::Rolling).seeing(G, seen).step(), Step::Enter(Phase::Reverting { .. }))
    };
    // Old ones that serve stay until new ones are available: they make no room.
    assert!(reverts(&[("old", Ready), ("new", Ready), ("new", quota())]));
    assert!(reverts(&[("old", Ready), ("old", Ready), ("new", quota())]));
    assert!(reverts(&[("new", Ready), ("new", quota())]));
    // These may: one that leaves, one that is to leave next, and one that has nothing to wait for.
    assert!(!reverts(&[("old", InstanceState::Draining), ("new", Ready), ("new", quota())]));
    assert!(!reverts(&[("old", Ready), ("old", Ready), ("new", Ready), ("new", quota())]));
    assert!(!reverts(&[("old", Starting), ("new", Ready), ("new", quota())]));
    assert!(!reverts(&[("new", Ready), ("new", Starting), ("new", quota())]));
}

#[test]
fn ready_is_not_enough_for_the_target_and_is_for_the_fallback() {
    let young = [("new", Ready), ("young", Ready)];
    let mut late = case(Phase::Rolling).seeing(G, &young);
    late.spent = Duration::from_secs(600);
    let Step::Enter(Phase::Reverting { cause }) = late.step() else { panic!("its time is up") };
    assert!(cause.to_string().ends_with("web 2 of 2 ready, 1 available"), "{cause}");
    let mut back = case(reverting()).seeing(G + 2, &[("old", Ready), ("old", Ready)]);
    back.seen.as_mut().unwrap().instances.iter_mut().for_each(|i| i.available = false);
    back.router = Some(Some(fence(G + 2)));
    assert!(matches!(back.step(), Step::Enter(Phase::Failed { fallback_unhealthy: false, .. })));
}

#[test]
fn minimum_ready_times_come_on_top_for_each_batch() {
    let time = |scale, min_ready| {
        let group = ProcessGroup { min_ready, ..group("new", scale) };
        let groups = [(ProcessType::web(), group)].into();
        min_ready_time(&Workload { app: app(), generation: Generation(G), groups }).as_secs()
    };
    assert_eq!([time(0, 60), time(1, 60), time(2, 60), time(8, 60)], [0, 60, 120, 240]);
    assert_eq!([time(5, 10), time(9, 10), time(100, 0)], [30, 30, 0]);
}
