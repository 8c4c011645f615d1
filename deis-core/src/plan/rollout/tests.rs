//! Every phase against every observation that a row names.

#![allow(clippy::option_option, reason = "unreachable, empty and filled are three answers of a router")]

use super::*;
use crate::model::{
    AppName, AppRef, AppUid, Artifact, Digest, Formation, HealthChecks, Instance, InstanceName,
    InstanceState, Launch, Limits, ProcessGroup, ProcessType, ReleaseVersion, Template, TemplateId,
    Timestamp,
};

const G: u64 = 7;
const LIVE: u64 = 4;

struct Case {
    rollout: Rollout,
    workloads: Workloads,
    live: Workload,
    seen: Option<Observation>,
    router: Option<Option<RouteFence>>,
    task: TaskObservation,
    artifact: ArtifactState<'static>,
    spent: Duration,
    refused: Option<Generation>,
}

fn app() -> AppRef {
    AppRef { name: AppName::new("blog").unwrap(), uid: AppUid(uuid::Uuid::nil()) }
}

fn group(id: &str, scale: u32) -> ProcessGroup {
    let template = Template {
        release: ReleaseVersion(2),
        process: ProcessType::web(),
        launch: Launch { artifact: Artifact::Slug { digest: Digest::of(b"x") }, command: "x".into() },
        env: [].into(),
        limits: Limits::default(),
        probes: HealthChecks::default(),
        routable: true,
        grace_seconds: 1,
        restarts: 0,
    };
    ProcessGroup { scale, id: TemplateId(id.to_owned()), template }
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
        deadline_ms: 120_000,
        started: Timestamp(0),
    };
    Case {
        rollout,
        workloads,
        live,
        seen: Some(seen(LIVE, &[("old", InstanceState::Ready), ("old", InstanceState::Ready)])),
        router: Some(Some(fence(LIVE))),
        task: TaskObservation { fence: Attempt(G), older_running: false, state: TaskState::Unknown },
        artifact: ArtifactState::Ready,
        spent: Duration::ZERO,
        refused: None,
    }
}

fn fence(generation: u64) -> RouteFence {
    RouteFence { routes: 1, generation: Generation(generation) }
}

fn seen(generation: u64, instances: &[(&str, InstanceState)]) -> Observation {
    let instance = |(n, (id, state)): (usize, &(&str, InstanceState))| Instance {
        name: InstanceName::new(format!("blog-web-1-{n}")).unwrap(),
        process: ProcessType::web(),
        template: TemplateId((*id).to_owned()),
        release: ReleaseVersion(1),
        state: state.clone(),
        started: Timestamp(0),
        trouble: None,
    };
    Observation {
        generation: Generation(generation),
        instances: instances.iter().enumerate().map(instance).collect(),
        blocked: Vec::new(),
    }
}

impl Case {
    fn step(&self) -> Step {
        next_step(&View {
            rollout: &self.rollout,
            workloads: &self.workloads,
            live: Some(&self.live),
            routes: 1,
            scheduler: self.seen.as_ref(),
            router: self.router,
            task: Some(&self.task),
            artifact: self.artifact,
            process: uuid::Uuid::nil(),
            spent: self.spent,
            command_limit: Duration::from_secs(3600),
            refused: self.refused,
        })
    }

    fn seeing(mut self, generation: u64, instances: &[(&str, InstanceState)]) -> Self {
        self.seen = Some(seen(generation, instances));
        self
    }

    fn routed(mut self, generation: u64) -> Self {
        self.router = Some(Some(fence(generation)));
        self
    }

    fn after(mut self, seconds: u64) -> Self {
        self.spent = Duration::from_secs(seconds);
        self
    }

    fn command(mut self, command: ReleaseCommand, state: TaskState) -> Self {
        self.rollout.command = command;
        self.task.state = state;
        self
    }
}

use InstanceState::{Draining, Ready, Starting};

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

fn phases() -> [Phase; 6] {
    [Phase::Staging, Phase::Rolling, Phase::Routing, reverting(), Phase::Succeeded, failed()]
}

#[test]
fn an_absent_back_end_stops_the_clock_in_every_phase() {
    for phase in phases() {
        let mut blind = case(phase.clone());
        blind.seen = None;
        assert_eq!(blind.step(), Step::Blind, "{phase:?}");
        let mut blind = case(phase.clone());
        blind.router = None;
        assert_eq!(blind.step(), Step::Blind, "{phase:?}");
    }
}

#[test]
fn a_back_end_that_is_ahead_is_never_overwritten() {
    for phase in phases() {
        assert_eq!(case(phase.clone()).seeing(G + 3, &[]).step(), Step::Ahead, "{phase:?}");
        assert_eq!(case(phase.clone()).routed(G + 3).step(), Step::Ahead, "{phase:?}");
    }
}

#[test]
fn a_router_that_forgot_gets_lives_routes_first() {
    for phase in [Phase::Staging, Phase::Rolling] {
        let mut forgot = case(phase);
        forgot.router = Some(None);
        assert_eq!(forgot.step(), Step::Publish(Which::Live));
    }
}

#[test]
fn staging_rows_in_order() {
    assert_eq!(case(Phase::Staging).seeing(0, &[]).step(), Step::Apply(Which::Live));
    let mut older = case(Phase::Staging);
    older.task.fence = Attempt(G - 1);
    assert_eq!(older.step(), Step::StopTasks(Attempt(G)));
    older.task = TaskObservation { fence: Attempt(G), older_running: true, state: TaskState::Unknown };
    assert_eq!(older.step(), Step::Wait);
    let mut unready = case(Phase::Staging);
    unready.artifact = ArtifactState::Unknown;
    assert_eq!(unready.step(), Step::Prepare);
    unready.artifact = ArtifactState::Failed("gone");
    assert!(matches!(unready.step(), Step::Enter(Phase::Reverting { cause: Cause::Artifact { .. } })));
    assert_eq!(case(Phase::Staging).step(), Step::Enter(Phase::Rolling));
}

#[test]
fn a_release_command_runs_at_most_once() {
    let mine = ReleaseCommand::Started { by: uuid::Uuid::nil() };
    let other = ReleaseCommand::Started { by: uuid::Uuid::max() };
    let ended = |exit| TaskState::Ended { exit, last_lines: Vec::new() };
    let step = |command, state| case(Phase::Staging).command(command, state).step();
    assert_eq!(step(ReleaseCommand::Declared, TaskState::Unknown), Step::RecordStart);
    assert_eq!(step(mine, TaskState::Unknown), Step::StartCommand);
    assert_eq!(step(mine, TaskState::Running), Step::Wait);
    assert_eq!(step(other, TaskState::Running), Step::Wait);
    assert_eq!(step(other, ended(Exit::Code(0))), Step::Enter(Phase::Rolling));
    assert!(matches!(step(mine, ended(Exit::Code(1))), Step::Enter(Phase::Reverting { .. })));
    // Whoever recorded it may be about to start it; after a moment nobody is.
    let other_after = |seconds| case(Phase::Staging).command(other, TaskState::Unknown).after(seconds).step();
    assert_eq!(other_after(4), Step::Wait);
    assert_eq!(other_after(5), Step::StopTasks(Attempt(G + 1)));
    let mut stopped = case(Phase::Staging).command(other, TaskState::Unknown);
    stopped.task.fence = Attempt(G + 1);
    assert_eq!(stopped.step(), command_failed(None));
    // Whoever stopped it meanwhile, it never runs: asking for it again and again would be no use.
    let mut stopped = case(Phase::Staging).command(mine, TaskState::Unknown);
    stopped.task.fence = Attempt(G + 1);
    assert_eq!(stopped.step(), command_failed(None));
    let lost = TaskState::Ended { exit: Exit::Lost, last_lines: Vec::new() };
    assert_eq!(step(mine, lost), command_failed(None));
}

fn command_failed(exit: Option<Exit>) -> Step {
    Step::Enter(Phase::Reverting { cause: Cause::ReleaseCommand { exit, last_lines: Vec::new() } })
}

#[test]
fn a_release_command_that_does_not_end_is_stopped_before_its_release_is_given_up() {
    let mine = ReleaseCommand::Started { by: uuid::Uuid::nil() };
    let running = |seconds| case(Phase::Staging).command(mine, TaskState::Running).after(seconds);
    assert_eq!(running(3600 + 599).step(), Step::Wait);
    let mut late = running(3600 + 600);
    assert_eq!(late.step(), Step::StopTasks(Attempt(G + 1)));
    (late.task.fence, late.task.older_running) = (Attempt(G + 1), true);
    assert_eq!(late.step(), Step::Wait);
    late.task.older_running = false;
    late.task.state = TaskState::Ended { exit: Exit::Signal(9), last_lines: Vec::new() };
    assert_eq!(late.step(), command_failed(Some(Exit::TimedOut)));
    late.task.state = TaskState::Unknown;
    assert_eq!(late.step(), command_failed(Some(Exit::TimedOut)));
}

#[test]
fn fetching_the_build_has_a_limit_of_its_own() {
    let unready = |command, state, seconds| {
        let mut case = case(Phase::Staging).command(command, state).after(seconds);
        case.artifact = ArtifactState::Unknown;
        case
    };
    for command in [ReleaseCommand::None, ReleaseCommand::Declared] {
        assert_eq!(unready(command, TaskState::Unknown, 599).step(), Step::Prepare);
        let late = unready(command, TaskState::Unknown, 600).step();
        assert!(matches!(late, Step::Enter(Phase::Reverting { cause: Cause::Timeout { .. } })), "{late:?}");
    }
    // After a restart of the platform it is unknown again, however long the release command took.
    let other = ReleaseCommand::Started { by: uuid::Uuid::max() };
    let ended = TaskState::Ended { exit: Exit::Code(0), last_lines: Vec::new() };
    assert_eq!(unready(other, ended.clone(), 3600).step(), Step::Prepare);
    assert_eq!(unready(other, TaskState::Running, 3600).step(), Step::Wait);
    let late = unready(other, ended, 3600 + 1200).step();
    assert!(matches!(late, Step::Enter(Phase::Reverting { cause: Cause::Timeout { .. } })), "{late:?}");
}

#[test]
fn a_refusal_of_what_was_live_stops_nothing() {
    let mut forgot = case(Phase::Staging).seeing(0, &[]);
    forgot.refused = Some(Generation(LIVE));
    assert_eq!(forgot.step(), Step::Enter(Phase::Rolling));
    let mut held = case(Phase::Succeeded).seeing(0, &[]);
    held.refused = Some(Generation(G));
    assert_eq!(held.step(), Step::Publish(Which::Target));
    assert_eq!(held.routed(G).step(), Step::Rest);
    // A refusal of something else says nothing.
    let mut other = case(Phase::Succeeded).seeing(0, &[]);
    other.refused = Some(Generation(LIVE));
    assert_eq!(other.step(), Step::Apply(Which::Target));
}

#[test]
fn rolling_rows_in_order() {
    assert_eq!(case(Phase::Rolling).step(), Step::Apply(Which::Target));
    let both = [("new", Ready), ("new", Ready), ("old", Draining)];
    assert_eq!(case(Phase::Rolling).seeing(G, &both).step(), Step::Enter(Phase::Routing));
    let mixed = [("new", Ready), ("new", Ready), ("old", Ready)];
    assert_eq!(case(Phase::Rolling).seeing(G, &mixed).step(), Step::Wait);
    let bad = [("old", Ready), ("old", Ready), ("new", failing())];
    assert_eq!(case(Phase::Rolling).seeing(G, &bad).step(), Step::Enter(reverting()));
    let slow = [("old", Ready), ("old", Ready), ("new", Starting)];
    assert_eq!(case(Phase::Rolling).seeing(G, &slow).step(), Step::Wait);
    let late = case(Phase::Rolling).seeing(G, &slow).after(120).step();
    assert!(matches!(late, Step::Enter(Phase::Reverting { cause: Cause::Timeout { .. } })));
}

#[test]
fn another_templates_trouble_and_surplus_are_no_evidence() {
    let old_fails = [("old", failing()), ("new", Ready), ("new", Starting)];
    assert_eq!(case(Phase::Rolling).seeing(G, &old_fails).step(), Step::Wait);
    let surplus = [("new", Ready), ("new", Ready), ("new", failing())];
    assert_eq!(case(Phase::Rolling).seeing(G, &surplus).step(), Step::Enter(Phase::Routing));
}

#[test]
fn want_of_room_counts_only_when_no_room_can_come() {
    let quota = InstanceState::Failing { cause: Cause::Quota { reason: "full".into() } };
    let old_left = [("old", Ready), ("new", Ready), ("new", quota.clone())];
    assert_eq!(case(Phase::Rolling).seeing(G, &old_left).step(), Step::Wait);
    let alone = [("new", Ready), ("new", quota)];
    assert!(matches!(case(Phase::Rolling).seeing(G, &alone).step(), Step::Enter(Phase::Reverting { .. })));
}

#[test]
fn routing_rows_in_order() {
    let good = [("new", Ready), ("new", Ready)];
    assert_eq!(case(Phase::Routing).seeing(G, &good[..1]).step(), Step::Enter(Phase::Rolling));
    assert_eq!(case(Phase::Routing).seeing(LIVE, &good).step(), Step::Enter(Phase::Rolling));
    assert_eq!(case(Phase::Routing).seeing(G, &good).step(), Step::Publish(Which::Target));
    assert!(matches!(
        case(Phase::Routing).seeing(G, &good).after(120).step(),
        Step::Enter(Phase::Reverting { cause: Cause::Timeout { .. } })
    ));
    assert_eq!(case(Phase::Routing).seeing(G, &good).routed(G).step(), Step::Enter(Phase::Succeeded));
}

#[test]
fn reverting_rows_in_order() {
    let old = [("old", Ready), ("old", Ready)];
    assert_eq!(case(reverting()).seeing(G, &old).step(), Step::Publish(Which::Fallback));
    assert_eq!(case(reverting()).seeing(G, &old).routed(G + 2).step(), Step::Apply(Which::Fallback));
    let back = case(reverting()).seeing(G + 2, &old).routed(G + 2);
    assert_eq!(back.step(), Step::Enter(failed()));
    let half = case(reverting()).seeing(G + 2, &old[..1]).routed(G + 2);
    assert_eq!(half.step(), Step::Wait);
    let unhealthy = Phase::Failed { cause: crash(), fallback_unhealthy: true };
    assert_eq!(half.after(200).step(), Step::Enter(unhealthy));
}

#[test]
fn an_ended_rollout_is_held() {
    assert_eq!(case(Phase::Succeeded).seeing(0, &[]).step(), Step::Apply(Which::Target));
    assert_eq!(case(Phase::Succeeded).seeing(G, &[]).step(), Step::Publish(Which::Target));
    assert_eq!(case(Phase::Succeeded).seeing(G, &[]).routed(G).step(), Step::Rest);
    let mut retired = case(Phase::Succeeded).seeing(G, &[]).routed(G);
    retired.rollout.retires = true;
    assert_eq!(retired.step(), Step::Apply(Which::Settled));
    assert_eq!(case(failed()).seeing(0, &[]).step(), Step::Apply(Which::Fallback));
    assert_eq!(case(failed()).seeing(G + 2, &[]).step(), Step::Publish(Which::Fallback));
    assert_eq!(case(failed()).seeing(G + 2, &[]).routed(G + 2).step(), Step::Rest);
}
