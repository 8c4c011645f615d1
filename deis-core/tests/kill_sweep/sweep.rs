//! The sweep: a fault at every port call of a scenario.

use deis_core::{
    Bug,
    conformance::faults::{Fault, Fuse},
};

use super::{
    bench::{Answer, Bench},
    deeds::Deed,
    oracle::{self, Way},
    watch::Watch,
};

/// A deed that is swept, alone or overtaking another one.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    /// What is there before: done without faults, each driven to rest.
    pub(super) before: Vec<Deed>,
    /// What is under way when the deed comes.
    pub(super) first: Option<Deed>,
    /// The deed.
    pub(super) deed: Deed,
    /// How many ready processes requests must be able to reach at any moment.
    pub(super) floor: usize,
}

/// Where and how a fault strikes.
#[derive(Clone, Copy, Debug)]
struct Strike {
    /// Steps of the first deed before the second one comes.
    step: usize,
    fault: Fault,
    /// The call that it strikes, counted from the beginning of the deed.
    call: usize,
    /// Whether the back ends forget afterwards.
    forgets: bool,
}

const FAULTS: [Fault; 4] = [Fault::DieBefore, Fault::DieAfter, Fault::FailBefore, Fault::FailAfter];

/// How a run ended.
struct Run {
    /// The fault struck: there are more calls to come.
    struck: bool,
    /// The first deed was still under way.
    overtook: bool,
}

/// Strikes at every call until none is left; for a deed that overtakes another one, after every step of that one.
/// Returns how many points there were, or the first one that does not converge.
pub(super) async fn sweep(scenario: &Scenario, bug: Bug) -> Result<usize, String> {
    let base = Bench::prepare(&scenario.before, bug).await?;
    let mut points = 0;
    for step in 0.. {
        let mut overtook = false;
        for call in 0.. {
            let mut struck = false;
            for (fault, forgets) in modes(scenario.first.is_some(), step, call) {
                let strike = Strike { step, fault, call, forgets };
                let run = once(&base, scenario, strike).await.map_err(|e| format!("{strike:?}: {e}"))?;
                (struck, overtook) = (run.struck, run.overtook);
                points += usize::from(struck);
            }
            if !struck {
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

/// Everything for a deed alone. For pairs there are thousands of places, at which they take turns: each step meets all
/// of them within eight calls, and each call within eight steps.
fn modes(pair: bool, step: usize, call: usize) -> impl Iterator<Item = (Fault, bool)> {
    let all = FAULTS.into_iter().flat_map(|fault| [(fault, false), (fault, true)]).enumerate();
    all.filter(move |(turn, _)| !pair || (step + call) % 8 == *turn).map(|(_, mode)| mode)
}

/// One run without any fault, the second deed after `step` steps of the first; `false` if that one was over by then.
pub(super) async fn fault_free(scenario: &Scenario, step: usize, bug: Bug) -> Result<bool, String> {
    let base = Bench::prepare(&scenario.before, bug).await?;
    let never = Strike { step, fault: Fault::DieBefore, call: usize::MAX, forgets: false };
    Ok(once(&base, scenario, never).await?.overtook)
}

async fn once(base: &Bench, scenario: &Scenario, strike: Strike) -> Result<Run, String> {
    let mut bench = base.fork();
    let fuse = Fuse::unlit(strike.call, strike.fault);
    let platform = bench.platform(&fuse);
    let watch = Watch::new(&bench, scenario.floor);
    let mut overtook = false;
    if let Some(first) = scenario.first {
        bench.attempt(&platform, first).await;
        overtook = bench.steps(&platform, strike.step).await?;
    }
    fuse.light();
    let work = async {
        bench.attempt(&platform, scenario.deed).await;
        bench.drive(&platform, || watch.look()).await
    };
    let ended = tokio::select! {
        ended = work => Some(ended),
        () = fuse.death() => None,
    };
    let died = ended.is_none();
    ended.unwrap_or(Ok(()))?;
    drop(platform);
    watch.look()?;
    if strike.forgets {
        bench.world.forget();
    }
    let next = bench.platform(&Fuse::never());
    bench.drive(&next, || watch.look()).await?;
    match bench.history.last().map(|attempted| &attempted.answer) {
        Some(Answer::Refused(reason)) => return Err(format!("it is refused: {reason}")),
        Some(Answer::Unknown) if !fuse.struck() => return Err("it is refused without any fault".to_owned()),
        _ => {}
    }
    oracle::judge(&bench, Way { died, rested: !overtook }).await?;
    Ok(Run { struck: fuse.struck(), overtook })
}
