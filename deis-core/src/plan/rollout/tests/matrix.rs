//! Every phase against everything that can be seen, judged by the table.

use super::{
    Case, G, LIVE, case,
    table::{
        Accepted, Before, Bytes, Command, Fenced, In, Picture, Published, ROWS, Runner, Situation, Spent,
        Stalled, Told,
    },
};
use crate::{
    model::{
        Attempt, Cause, Exit, Generation, InstanceState, Observation, Phase, ProcessType, ReleaseCommand,
        RouteFence, Stall, TaskObservation, TaskState,
    },
    plan::{
        constants::{
            DEPLOY_DEADLINE, OUTAGE_LIMIT, PREPARE_LIMIT, PULL_LIMIT, RELEASE_COMMAND_LIMIT, START_GRACE,
        },
        lower::workloads,
        rollout::{ArtifactState, WorkloadRole},
    },
};
use std::time::Duration;

const PHASES: [In; 6] = [In::Staging, In::Rolling, In::Routing, In::Reverting, In::Succeeded, In::Failed];
const ACCEPTED: [Accepted; 7] = [
    Accepted::Nothing,
    Accepted::BeforeLive,
    Accepted::Live,
    Accepted::Target,
    Accepted::TargetOnly,
    Accepted::Fallback,
    Accepted::Beyond,
];
const PUBLISHED: [Published; 9] = [
    Published::Nothing,
    Published::OlderCounter,
    Published::BeforeLive,
    Published::Live,
    Published::Target,
    Published::TargetOnly,
    Published::Fallback,
    Published::Beyond,
    Published::NewerCounter,
];
const PICTURES: [Picture; 12] = [
    Picture::Nothing,
    Picture::AllOld,
    Picture::Mixed,
    Picture::AllNew,
    Picture::AllNewOldLeft,
    Picture::AllNewOldDraining,
    Picture::AllNewSurplusFails,
    Picture::NewFails,
    Picture::OnlyOneNewAndYoung,
    Picture::AllNewOneYoung,
    Picture::NoRoom,
    Picture::NoRoomYet,
];
const STALLED: [Stalled; 5] =
    [Stalled::No, Stalled::Outage, Stalled::OutageForTooLong, Stalled::Pulling, Stalled::PullingForTooLong];
const TOLD: [Told; 6] =
    [Told::Unknown, Told::Running, Told::EndedWell, Told::EndedBadly, Told::Killed, Told::Lost];
const FENCED: [Fenced; 3] = [Fenced::Before, Fenced::Here, Fenced::After];
const COMMANDS: [Command; 4] = [Command::None, Command::Declared, Command::Mine, Command::Anothers];
const BYTES: [Bytes; 3] = [Bytes::Ready, Bytes::Missing, Bytes::Gone];
const SPENT: [Spent; 6] = [
    Spent::Little,
    Spent::StartGrace,
    Spent::Deadline,
    Spent::PrepareLimit,
    Spent::CommandLimit,
    Spent::CommandAndPrepareLimit,
];

/// Every combination of what the rows of a phase can tell apart.
fn situations() -> Vec<Situation> {
    let away_or = |seen: Vec<_>| seen.into_iter().map(Some).chain([None]).collect::<Vec<_>>();
    let schedulers =
        away_or(ACCEPTED.iter().flat_map(|accepted| PICTURES.map(|picture| (*accepted, picture))).collect());
    let routers: Vec<_> = PUBLISHED.into_iter().map(Some).chain([None]).collect();
    let mut all = Vec::new();
    for phase in PHASES {
        for scheduler in &schedulers {
            for router in &routers {
                for (before, retires) in [
                    (Before::Web, false),
                    (Before::Web, true),
                    (Before::Worker, true),
                    (Before::Nothing, false),
                ] {
                    for refused in [false, true] {
                        let plain = Situation {
                            phase,
                            scheduler: *scheduler,
                            router: *router,
                            runner: None,
                            command: Command::None,
                            artifact: Bytes::Ready,
                            spent: Spent::Little,
                            before,
                            retires,
                            refused,
                            stalled: Stalled::No,
                        };
                        let cases = if phase == In::Staging { staging(plain) } else { stalled(plain) };
                        all.extend(
                            cases.into_iter().flat_map(|case| SPENT.map(|spent| Situation { spent, ..case })),
                        );
                    }
                }
            }
        }
    }
    all
}

/// A stall is an excuse where there is a deadline; elsewhere it must make no difference. Where it does make one, what a
/// scheduler refuses does not.
fn stalled(plain: Situation) -> Vec<Situation> {
    if plain.scheduler.is_none() || plain.refused {
        return vec![plain];
    }
    STALLED.map(|stalled| Situation { stalled, ..plain }).into()
}

/// While staging the runner and the artifact matter, and neither what the instances do nor which types retire.
fn staging(plain: Situation) -> Vec<Situation> {
    let other_picture = plain.scheduler.is_some_and(|(_, picture)| picture != Picture::AllOld);
    let nothing_to_refuse = plain.scheduler.is_none_or(|(accepted, _)| accepted > Accepted::Live);
    if other_picture || plain.retires || (plain.refused && nothing_to_refuse) {
        return Vec::new();
    }
    let mut all = Vec::new();
    let runners = FENCED.iter().flat_map(|fence| {
        let told = TOLD.iter().map(|told| (*fence, *told));
        told.flat_map(|(fence, told)| {
            [false, true].map(|older_running| Runner { fence, older_running, told })
        })
    });
    for runner in runners.map(Some).chain([None]) {
        for command in COMMANDS {
            all.extend(BYTES.map(|artifact| Situation { runner, command, artifact, ..plain }));
        }
    }
    all
}

/// Both ways: two instances a type are replaced one by one, each after a second.
const DEADLINE: Duration = DEPLOY_DEADLINE.saturating_add(Duration::from_secs(2));

/// When a limit is reached.
fn reached(limit: Spent) -> Duration {
    match limit {
        Spent::Little => Duration::ZERO,
        Spent::StartGrace => START_GRACE,
        Spent::Deadline => DEADLINE,
        Spent::PrepareLimit => PREPARE_LIMIT,
        Spent::CommandLimit => RELEASE_COMMAND_LIMIT + PREPARE_LIMIT,
        Spent::CommandAndPrepareLimit => RELEASE_COMMAND_LIMIT + 2 * PREPARE_LIMIT,
    }
}

/// The moment at which a limit is reached, and the last one before the next limit is.
fn moments(limit: Spent) -> [Duration; 2] {
    let next = SPENT.into_iter().find(|other| *other > limit);
    let end = next.map_or(Duration::MAX, reached);
    [reached(limit), end.saturating_sub(Duration::from_millis(1))]
}

#[test]
fn every_situation_takes_the_step_of_the_first_row_that_matches() {
    let all = situations();
    let mut used = vec![0; ROWS.len()];
    for situation in &all {
        let matching =
            |(phases, seen, _): &super::table::Row| phases.contains(&situation.phase) && seen(situation);
        let row = ROWS.iter().position(matching);
        let row = row.unwrap_or_else(|| panic!("no row for {situation:?}"));
        used[row] += 1;
        let (expected, mut case) = (ROWS[row].2(situation), realised(situation));
        for spent in moments(situation.spent) {
            case.spent = spent;
            let step = case.step();
            assert!(
                expected.is(&step),
                "{situation:?} ({spent:?})\nis {step:?} and not {expected:?} (row {row})"
            );
        }
    }
    assert!(!used.contains(&0), "some rows are never reached: {used:?}");
    println!("rollout table: {} situations, {} rows", all.len(), ROWS.len());
}

/// A situation made of real records and observations.
fn realised(s: &Situation) -> Case {
    let mut case = case(phase(s.phase));
    case.rollout.retires = s.retires;
    if s.before != Before::Web {
        let groups = case.workloads.target_only.groups.clone();
        case.live = case.live.filter(|_| s.before == Before::Worker);
        if let Some(live) = &mut case.live {
            let worker = ProcessType::new("worker").unwrap();
            live.groups = live.groups.values().map(|group| (worker.clone(), group.clone())).collect();
        } else {
            case.rollout.live_generation = Generation(0);
        }
        case.workloads = workloads(&super::app(), Generation(G), groups, case.live.as_ref());
    }
    case.seen = s.scheduler.map(|(accepted, picture)| seen(accepted, picture));
    let (stall, stalled) = match s.stalled {
        Stalled::No => (None, Duration::MAX),
        Stalled::Outage => (Some(Stall::Outage), OUTAGE_LIMIT.saturating_sub(Duration::from_millis(1))),
        Stalled::OutageForTooLong => (Some(Stall::Outage), OUTAGE_LIMIT),
        Stalled::Pulling => (Some(Stall::Pulling), PULL_LIMIT.saturating_sub(Duration::from_millis(1))),
        Stalled::PullingForTooLong => (Some(Stall::Pulling), PULL_LIMIT),
    };
    case.stalled = stalled;
    if let Some(seen) = &mut case.seen {
        seen.stalled = stall;
    }
    case.router = s.router.map(published);
    case.task = s.runner.map(task);
    case.rollout.command = match s.command {
        Command::None => ReleaseCommand::None,
        Command::Declared => ReleaseCommand::Declared,
        Command::Mine => ReleaseCommand::Started { by: uuid::Uuid::nil() },
        Command::Anothers => ReleaseCommand::Started { by: uuid::Uuid::max() },
    };
    case.artifact = match s.artifact {
        Bytes::Ready => ArtifactState::Ready,
        Bytes::Missing => ArtifactState::Unknown,
        Bytes::Gone => ArtifactState::Failed("gone"),
    };
    case.refused = s.refused.then(|| match s.phase {
        In::Staging => case.rollout.live_generation,
        _ => WorkloadRole::held(&case.rollout).generation(&case.rollout),
    });
    case
}

fn phase(phase: In) -> Phase {
    match phase {
        In::Staging => Phase::Staging,
        In::Rolling => Phase::Rolling,
        In::Routing => Phase::Routing,
        In::Reverting => super::reverting(),
        In::Succeeded => Phase::Succeeded,
        In::Failed => super::failed(),
    }
}

fn seen(accepted: Accepted, picture: Picture) -> Observation {
    use InstanceState::{Draining, Ready};
    let generation = match accepted {
        Accepted::Nothing => 0,
        Accepted::BeforeLive => LIVE - 1,
        Accepted::Live => LIVE,
        Accepted::Target => G,
        Accepted::TargetOnly => G + 1,
        Accepted::Fallback => G + 2,
        Accepted::Beyond => G + 3,
    };
    let instances = match picture {
        Picture::Nothing => vec![],
        Picture::AllOld | Picture::NoRoom => vec![("old", Ready), ("old", Ready)],
        Picture::Mixed => vec![("old", Ready), ("new", Ready)],
        Picture::AllNew => vec![("new", Ready), ("new", Ready)],
        Picture::AllNewOldLeft => vec![("old", Ready), ("new", Ready), ("new", Ready)],
        Picture::AllNewOldDraining => vec![("old", Draining), ("new", Ready), ("new", Ready)],
        Picture::AllNewSurplusFails => vec![("new", Ready), ("new", Ready), ("new", super::failing())],
        Picture::NewFails => vec![("old", Ready), ("old", Ready), ("new", super::failing())],
        Picture::OnlyOneNewAndYoung => vec![("young", Ready)],
        Picture::AllNewOneYoung => vec![("new", Ready), ("young", Ready)],
        Picture::NoRoomYet => vec![("old", Ready), ("old", Draining)],
    };
    let mut seen = super::seen(generation, &instances);
    if matches!(picture, Picture::NoRoom | Picture::NoRoomYet) {
        seen.blocked = vec![(ProcessType::web(), Cause::Quota { reason: "full".into() })];
    }
    seen
}

fn published(published: Published) -> Option<RouteFence> {
    let fence = |routes, generation| Some(RouteFence { routes, generation: Generation(generation) });
    match published {
        Published::Nothing => None,
        Published::OlderCounter => fence(0, G + 9),
        Published::BeforeLive => fence(1, LIVE - 1),
        Published::Live => fence(1, LIVE),
        Published::Target => fence(1, G),
        Published::TargetOnly => fence(1, G + 1),
        Published::Fallback => fence(1, G + 2),
        Published::Beyond => fence(1, G + 3),
        Published::NewerCounter => fence(2, 0),
    }
}

fn task(runner: Runner) -> TaskObservation {
    let ended = |exit| TaskState::Ended { exit, last_lines: Vec::new() };
    TaskObservation {
        fence: Attempt(match runner.fence {
            Fenced::Before => G - 1,
            Fenced::Here => G,
            Fenced::After => G + 1,
        }),
        older_running: runner.older_running,
        state: match runner.told {
            Told::Unknown => TaskState::Unknown,
            Told::Running => TaskState::Running,
            Told::EndedWell => ended(Exit::Code(0)),
            Told::EndedBadly => ended(Exit::Code(1)),
            Told::Killed => ended(Exit::Signal(9)),
            Told::Lost => ended(Exit::Lost),
        },
    }
}
