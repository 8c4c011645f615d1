//! The sweep: a fault at every port call of a scenario.

use std::sync::Arc;

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

const FAULTS: [Fault; 5] =
    [Fault::DieBefore, Fault::DieAfter, Fault::FailBefore, Fault::FailAfter, Fault::Between];
/// A scheduler is seen up to three ticks late.
const LAGS: usize = 4;
/// All kinds of fault and outage, without the one that is none.
const MODES: usize = FAULTS.len() * Outage::ALL.len() - 1;

/// How a run ended.
struct Run {
    /// The fault struck: there are more calls to come.
    struck: bool,
    /// The first action was still under way.
    overtook: bool,
}

/// Strikes at every call until none is left; for an action that overtakes another one, after every step of that one.
/// Returns how many points there were, or the first one that does not converge.
pub(super) async fn sweep(scenario: &Scenario, bug: Bug) -> Result<usize, String> {
    let base = Harness::prepare(&scenario.before, bug).await?;
    let mut points = 0;
    for step in 0.. {
        let mut overtook = false;
        for call in 0.. {
            // Where nothing strikes there may be more calls to come.
            let mut struck = None;
            for (fault, outage, lag) in modes(scenario.first.is_some(), step, call) {
                let strike = Strike { step, fault, call, outage, lag };
                let run = once(&base, scenario, strike).await.map_err(|e| format!("{strike:?}: {e}"))?;
                (struck, overtook) = (Some(run.struck), run.overtook);
                points += usize::from(run.struck);
            }
            if struck == Some(false) {
                break;
            }
        }
        if !overtook {
            break;
        }
    }
    Ok(points)
}

/// Sweeps a scenario, which must converge everywhere, and tells how many points there were: more than `least`, or the
/// sweep does not reach what the scenario is about.
pub(super) async fn passes(name: &str, scenario: &Scenario, least: usize) {
    let points = sweep(scenario, Bug::None).await.unwrap();
    println!("kill sweep: {name}: {points} points, all converge");
    assert!(points > least, "only {points} points: the sweep does not reach the scenario");
}

/// For an action alone: every fault with back ends that remember and that forget, and with the other outages in turns. For pairs there are thousands of places, at which all of them take turns: each step meets
/// every one within twice so many calls, and each call within twice so many steps. How late the scheduler is seen takes
/// turns everywhere.
fn modes(pair: bool, step: usize, call: usize) -> impl Iterator<Item = (Fault, Outage, usize)> {
    let all = FAULTS.into_iter().flat_map(|fault| Outage::ALL.map(|outage| (fault, outage)));
    let all = all.filter(|mode| *mode != (Fault::Between, Outage::None)).enumerate();
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
pub(super) async fn late(scenario: &Scenario, bug: Bug) -> Result<usize, String> {
    let Some(first) = scenario.first else { return Ok(0) };
    let base = Harness::prepare(&scenario.before, bug).await?;
    let mut call = 0;
    while late_once(&base, scenario, first, call).await.map_err(|e| format!("call {call} is late: {e}"))? {
        call += 1;
    }
    Ok(call)
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
        () = fuse.death() => None,
    };
    ended.unwrap_or(Ok(()))?;
    drop(platform);
    if !fuse.struck() {
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
    let (fault, outage) = (Fault::DieBefore, Outage::None);
    let never = Strike { step, fault, call: usize::MAX, outage, lag: 0 };
    Ok(once(&base, scenario, never).await?.overtook)
}

async fn once(base: &Harness, scenario: &Scenario, strike: Strike) -> Result<Run, String> {
    let mut harness = base.fork();
    let proven = harness.world.instances(&app()).into_iter().map(|instance| instance.template).collect();
    let harm = strike.outage.harm(&harness, strike.fault, proven);
    let fuse = Fuse::unlit(strike.call, strike.fault).with_harm(harm);
    let platform = harness.process(&fuse, strike.lag);
    let watch = Watch::new(&harness, scenario.floor);
    let mut overtook = false;
    if let Some(first) = scenario.first {
        harness.attempt(&platform, first).await;
        watch.look()?;
        overtook = harness.steps(&platform, strike.step, || watch.look()).await?;
    }
    fuse.light();
    let work = async {
        harness.attempt(&platform, scenario.action).await;
        harness.drive(&platform, || watch.look()).await
    };
    let ended = tokio::select! {
        ended = work => Some(ended),
        () = fuse.death() => None,
    };
    let died = ended.is_none();
    ended.unwrap_or(Ok(()))?;
    drop(platform);
    watch.look()?;
    let next = harness.process(&Fuse::never(), strike.lag);
    harness.drive(&next, || watch.look()).await?;
    match harness.history.last().map(|attempted| &attempted.answer) {
        Some(Answer::Refused(reason)) => return Err(format!("it is refused: {reason}")),
        Some(Answer::Unknown) if !fuse.struck() => return Err("it is refused without any fault".to_owned()),
        _ => {}
    }
    let rested = !overtook && !strike.outage.takes_instances();
    oracle::judge(&harness, Way { died, rested }).await?;
    Ok(Run { struck: fuse.struck(), overtook })
}
