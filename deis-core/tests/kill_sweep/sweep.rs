//! The sweep: a fault at every port call of a scenario.

use std::{collections::BTreeSet, fmt, sync::Arc};

use deis_core::{
    conformance::faults::{Fault, Fuse, Harm},
    model::TemplateId,
    state::apps::AppState,
    store::MemoryStore,
};
use futures_util::FutureExt as _;

use super::{
    actions::Action,
    bugs::Bug,
    harness::{Answer, Harness, app},
    oracle::{self, Way},
    watch::Watch,
};

/// An action that is swept, alone or overtaking another one.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    /// What is there before: done without faults, each driven to rest.
    pub(super) before: Vec<Action>,
    /// What is under way when the action comes.
    pub(super) first: Option<Action>,
    /// The action.
    pub(super) action: Action,
    /// How many ready processes requests must be able to reach at any moment.
    pub(super) floor: usize,
}

/// What else goes wrong at the moment of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// Nothing: the back ends remember everything.
    None,
    /// Scheduler and router forget what they were told, and with a death the runner too; instances go on.
    Forgets,
    /// All instances are gone, and the scheduler knows nothing of any.
    Reboots,
    /// A ready instance is gone; the scheduler starts another one.
    Loses,
    /// The newest ready instance of the new release fails, and so does every other one from then on.
    Spoils,
    /// The machines of the instances do not move for longer than a rollout may take, and look as if they had failed.
    Stalls,
}

impl Outage {
    const ALL: [Self; 6] =
        [Self::None, Self::Forgets, Self::Reboots, Self::Loses, Self::Spoils, Self::Stalls];

    /// Whether instances go for which the platform is not to blame.
    fn takes_instances(self) -> bool {
        matches!(self, Self::Reboots | Self::Loses | Self::Spoils)
    }

    /// What happens in this world together with a fault.
    pub(super) fn harm(self, harness: &Harness, fault: Fault, proven: Vec<TemplateId>) -> Harm {
        let (world, store) = (harness.world.clone(), Arc::clone(&harness.store));
        let dies = matches!(fault, Fault::DieBefore | Fault::DieAfter | Fault::DieLate);
        Arc::new(move || match self {
            Self::Forgets if dies => world.forget(),
            Self::Forgets => world.forget_service(),
            Self::Reboots => world.reboot(),
            Self::Loses => world.lose_one(&app()),
            Self::Stalls => world.stall(),
            Self::Spoils if is_unfinished(&store) => _ = world.spoil(&app(), &proven),
            Self::None | Self::Spoils => {}
        })
    }
}

/// Whether the newest rollout can still go back: a release that is live and then fails stays live.
fn is_unfinished(store: &MemoryStore) -> bool {
    let state = AppState::load(store, &app()).now_or_never().expect("memory answers at once");
    matches!(state, Ok(Some(state)) if state.unfinished().is_some())
}

/// Where and how a fault strikes.
#[derive(Clone, Copy, Debug)]
struct Strike {
    /// Steps of the first action before the second one comes.
    step: usize,
    fault: Fault,
    /// The call that it strikes, counted from the beginning of the action.
    call: usize,
    outage: Outage,
    /// How many ticks late the processes see their scheduler.
    lag: usize,
}

/// Which part of a sweep shows that a scenario does not converge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finder {
    /// A run in which nothing fails.
    NoFault,
    /// A fault, alone or with what else goes wrong at its moment.
    Fault(Fault, Outage),
    /// A call of a dead process that arrives late.
    Late,
}

/// The first point of a sweep that does not converge.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) by: Finder,
    /// Where, and what is wrong.
    pub(super) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {}", self.by, self.what)
    }
}

/// How many points a sweep had.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Points {
    /// Runs without any fault.
    calm: usize,
    /// Calls at which a process was to die, with how many of them are not the same as another one.
    deaths: (usize, usize),
    /// Other faults that struck.
    faults: usize,
    /// Late calls.
    late: usize,
}

/// Faults that take turns. A death with back ends that remember is not among them: that strikes everywhere.
const FAULTS: [Fault; 5] =
    [Fault::DieBefore, Fault::DieAfter, Fault::FailBefore, Fault::FailAfter, Fault::Between];
/// A scheduler is seen up to three ticks late.
const LAGS: usize = 4;
/// All kinds of fault and outage, without the two plain deaths and the one that is none.
const MODES: usize = FAULTS.len() * Outage::ALL.len() - 3;

/// How a run ended.
struct Run {
    /// The fault struck: there are more calls to come.
    struck: bool,
    /// The first action was still under way.
    overtook: bool,
    /// Calls of the process that did the action.
    calls: usize,
    /// The calls before which something may have changed since the call before, for anybody but that process: it wrote,
    /// or time went by.
    changes: BTreeSet<usize>,
}

/// Sweeps a scenario: alone an action, or one that overtakes another one after each step of that. Each has runs without
/// a fault, deaths and other faults at every call, and, for two actions, late calls. Returns how many points there were,
/// or the first one that does not converge.
pub(super) async fn sweep(scenario: &Scenario, bug: Bug) -> Result<Points, Finding> {
    let setup = |what| Finding { by: Finder::NoFault, what };
    let base = Harness::prepare(&scenario.before, bug).await.map_err(setup)?;
    let mut points = Points::default();
    for step in 0.. {
        let mut overtook = false;
        for lag in 0..LAGS {
            let run = calm(&base, scenario, step, lag).await?;
            points.calm += 1;
            overtook |= run.overtook;
            // Of the hundreds of steps of a pair, each meets its deaths with one lag, and its neighbours with the others.
            if scenario.first.is_none() || lag == step % LAGS {
                deaths(&base, scenario, StrikePoint { step, lag }, &run, &mut points).await?;
            }
        }
        faults(&base, scenario, step, &mut points).await?;
        if !overtook {
            break;
        }
    }
    points.late = late(&base, scenario).await?;
    Ok(points)
}

/// Sweeps a scenario, which must converge everywhere, and tells how many points there were: more than `least`, or the
/// sweep does not reach what the scenario is about.
pub(super) async fn passes(name: &str, scenario: &Scenario, least: usize) {
    let points = match sweep(scenario, Bug::None).await {
        Ok(points) => points,
        Err(finding) => panic!("{finding}"),
    };
    let Points { calm, deaths: (calls, deaths), faults, late } = points;
    println!(
        "kill sweep: {name}: {calm} runs without faults, deaths at {calls} calls of which {deaths} differ, {faults} \
         other faults, {late} late calls: all converge"
    );
    let all = calm + deaths + faults;
    assert!(all > least, "only {all} points: the sweep does not reach the scenario");
    assert!(scenario.first.is_none() || late > 20, "only {late} late calls");
}

/// The steps of the first action before the second one comes, and how many ticks late the processes see their scheduler.
#[derive(Clone, Copy, Debug)]
struct StrikePoint {
    step: usize,
    lag: usize,
}

/// A run without any fault.
async fn calm(base: &Harness, scenario: &Scenario, step: usize, lag: usize) -> Result<Run, Finding> {
    let never = Strike { step, fault: Fault::DieBefore, call: usize::MAX, outage: Outage::None, lag };
    let what = |error| format!("after {step} steps, seen {lag} ticks late: {error}");
    once(base, scenario, never).await.map_err(|error| Finding { by: Finder::NoFault, what: what(error) })
}

/// The process dies at every call, and nothing else goes wrong. Whatever it does until then is what it did in `run`; so
/// two deaths between which nobody else could notice anything are the same one, and one of them is enough.
async fn deaths(
    base: &Harness,
    scenario: &Scenario,
    place: StrikePoint,
    run: &Run,
    points: &mut Points,
) -> Result<(), Finding> {
    points.deaths.0 += run.calls;
    for change in &run.changes {
        // What the last call has changed is seen by who dies after it.
        let (fault, call) = match run.calls {
            calls if *change < calls => (Fault::DieBefore, *change),
            calls => (Fault::DieAfter, calls.saturating_sub(1)),
        };
        let StrikePoint { step, lag } = place;
        let struck = strike(base, scenario, Strike { step, fault, call, outage: Outage::None, lag }).await?;
        points.deaths.1 += usize::from(struck);
    }
    Ok(())
}

/// All other faults, at every call until none is left.
async fn faults(
    base: &Harness,
    scenario: &Scenario,
    step: usize,
    points: &mut Points,
) -> Result<(), Finding> {
    for call in 0.. {
        // Where nothing strikes there may be more calls to come.
        let mut struck = None;
        for (fault, outage, lag) in modes(scenario.first.is_some(), step, call) {
            let did = strike(base, scenario, Strike { step, fault, call, outage, lag }).await?;
            struck = Some(did || struck == Some(true));
            points.faults += usize::from(did);
        }
        if struck == Some(false) {
            break;
        }
    }
    Ok(())
}

/// Whether there was such a call.
async fn strike(base: &Harness, scenario: &Scenario, strike: Strike) -> Result<bool, Finding> {
    let by = Finder::Fault(strike.fault, strike.outage);
    let run = once(base, scenario, strike).await;
    Ok(run.map_err(|error| Finding { by, what: format!("{strike:?}: {error}") })?.struck)
}

/// For an action alone: every fault with back ends that remember and that forget, and with the other outages in turns. For pairs there are thousands of places, at which all of them take turns: each step meets
/// every one within twice so many calls, and each call within twice so many steps. How late the scheduler is seen takes
/// turns everywhere.
fn modes(pair: bool, step: usize, call: usize) -> impl Iterator<Item = (Fault, Outage, usize)> {
    let all = FAULTS.into_iter().flat_map(|fault| Outage::ALL.map(|outage| (fault, outage)));
    let is_swept_elsewhere = |(fault, outage): &(Fault, Outage)| {
        *outage == Outage::None && matches!(fault, Fault::DieBefore | Fault::DieAfter | Fault::Between)
    };
    let all = all.filter(move |mode| !is_swept_elsewhere(mode)).enumerate();
    let taken = move |turn: usize, outage: Outage| {
        if pair {
            (step + call).is_multiple_of(2) && (step * 7 + call / 2) % MODES == turn
        } else {
            matches!(outage, Outage::None | Outage::Forgets) || (turn + call).is_multiple_of(3)
        }
    };
    let lag = move |turn: usize| if pair { (step + call / 2 / MODES) % LAGS } else { (turn + call) % LAGS };
    all.filter(move |(turn, (_, outage))| taken(*turn, *outage))
        .map(move |(turn, (fault, outage))| (fault, outage, lag(turn)))
}

/// The process that does the first action dies at each of its calls, and that call takes effect only when another
/// process has done the second action and everything rests: a message that was long on its way. Returns how many points
/// there were, or the first one that does not converge.
async fn late(base: &Harness, scenario: &Scenario) -> Result<usize, Finding> {
    let Some(first) = scenario.first else { return Ok(0) };
    for call in 0.. {
        let ended = late_once(base, scenario, first, call).await;
        let what = |error| format!("call {call} is late: {error}");
        if !ended.map_err(|error| Finding { by: Finder::Late, what: what(error) })? {
            return Ok(call);
        }
    }
    Ok(0)
}

/// Whether there was such a call.
async fn late_once(base: &Harness, scenario: &Scenario, first: Action, call: usize) -> Result<bool, String> {
    let mut harness = base.fork();
    let fuse = Fuse::at(call, Fault::DieLate);
    let platform = harness.process(&fuse, call % LAGS);
    let watch = Watch::new(&harness, scenario.floor);
    let work = async {
        harness.attempt(&platform, first).await;
        harness.drive(&platform, || watch.look()).await
    };
    let ended = tokio::select! {
        ended = work => Some(ended),
        () = fuse.wait_for_death() => None,
    };
    ended.unwrap_or(Ok(()))?;
    drop(platform);
    if !fuse.was_reached() {
        return Ok(false);
    }
    let next = harness.process(&Fuse::never(), call % LAGS);
    harness.attempt(&next, scenario.action).await;
    harness.drive(&next, || watch.look()).await?;
    fuse.deliver().await;
    // Before anybody notices, time goes by.
    harness.world.tick();
    watch.look()?;
    harness.drive(&next, || watch.look()).await?;
    oracle::judge(&harness, Way { died: true, rested: false }).await?;
    Ok(true)
}

/// One run without any fault, the second action after `step` steps of the first; `false` if that one was over by then.
pub(super) async fn fault_free(scenario: &Scenario, step: usize, bug: Bug) -> Result<bool, String> {
    let base = Harness::prepare(&scenario.before, bug).await?;
    calm(&base, scenario, step, 0).await.map(|run| run.overtook).map_err(|finding| finding.what)
}

async fn once(base: &Harness, scenario: &Scenario, strike: Strike) -> Result<Run, String> {
    let mut harness = base.fork();
    let proven = harness.world.instances(&app()).into_iter().map(|instance| instance.template).collect();
    let harm = strike.outage.harm(&harness, strike.fault, proven);
    let fuse = Fuse::stopped(strike.call, strike.fault).with_harm(harm);
    let platform = harness.process(&fuse, strike.lag);
    let watch = Watch::new(&harness, scenario.floor);
    let mut overtook = false;
    if let Some(first) = scenario.first {
        harness.attempt(&platform, first).await;
        watch.look()?;
        overtook = harness.steps(&platform, strike.step, || watch.look()).await?;
    }
    fuse.start();
    let mut changes = BTreeSet::from([0]);
    let work = async {
        harness.attempt(&platform, scenario.action).await;
        let look = || {
            changes.insert(fuse.calls());
            watch.look()
        };
        harness.drive(&platform, look).await
    };
    let ended = tokio::select! {
        ended = work => Some(ended),
        () = fuse.wait_for_death() => None,
    };
    let calls = fuse.calls();
    changes.extend(fuse.writes().into_iter().map(|call| call + 1));
    // Whoever rests is the same wherever it dies.
    changes.retain(|call| *call < calls || fuse.writes().last() == Some(&(call - 1)));
    let died = ended.is_none();
    ended.unwrap_or(Ok(()))?;
    drop(platform);
    watch.look()?;
    let next = harness.process(&Fuse::never(), strike.lag);
    harness.drive(&next, || watch.look()).await?;
    match harness.history.last().map(|attempted| &attempted.answer) {
        Some(Answer::Refused(reason)) => return Err(format!("it is refused: {reason}")),
        Some(Answer::Unknown) if !fuse.was_reached() => {
            return Err("it is refused without any fault".to_owned());
        }
        _ => {}
    }
    let rested = !overtook && !strike.outage.takes_instances();
    oracle::judge(&harness, Way { died, rested }).await?;
    Ok(Run { struck: fuse.was_reached(), overtook, calls, changes })
}
