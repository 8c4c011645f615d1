//! Superseding: a second change after every step of the first, and a kill at every call after that.

use std::collections::BTreeSet;

use deis_core::{
    Bug, Outcome, PageQuery, Platform, ProcessType, Progress,
    conformance::faults::{Fault, Fuse},
};

use super::{
    bench::{Bench, actor, app},
    scenarios::{self, BEFORE_PAIRS, Pair},
};

/// Each pair is a test of its own and prints how many points it covered.
macro_rules! pairs {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                let points = all_steps(scenarios::$name()).await.unwrap();
                println!("kill sweep: {}: {points} points, all converge", stringify!($name));
                assert!(points > 500, "only {points} points: the sweep does not reach the second change");
            }
        )*
    };
}

pairs! {
    deploy_overtaken_by_deploy,
    broken_deploy_overtaken_by_its_mending,
    deploy_overtaken_by_config,
    deploy_overtaken_by_scale,
    deploy_overtaken_by_a_broken_one,
}

async fn all_steps(pair: Pair) -> Result<usize, String> {
    let mut points = 0;
    for step in 0.. {
        let (count, reached) = sweep(pair, step).await?;
        points += count;
        if !reached {
            break;
        }
    }
    Ok(points)
}

/// All kill points with the second change after `step` steps of the first; `false`: the first was over before that.
async fn sweep(pair: Pair, step: usize) -> Result<(usize, bool), String> {
    let (mut points, mut reached) = (0, true);
    for fault in [Fault::DieBefore, Fault::DieAfter] {
        // Every step meets both; each fault meets back ends that forget at every other step.
        let modes: &[bool] =
            if step.is_multiple_of(2) == (fault == Fault::DieBefore) { &[false, true] } else { &[false] };
        for forgets in modes.iter().copied() {
            for number in 0.. {
                let fuse = Fuse::at(number, fault);
                let at = format!("after step {step}, {fault:?} at call {number}, forgets: {forgets}");
                let run = once(pair, step, &fuse, forgets).await.map_err(|e| format!("{at}: {e}"))?;
                reached = run;
                if !fuse.struck() {
                    break;
                }
                points += 1;
            }
        }
    }
    Ok((points, reached))
}

async fn once(pair: Pair, step: usize, fuse: &Fuse, forgets: bool) -> Result<bool, String> {
    let bench = Bench::new(Bug::None);
    bench.prepare(BEFORE_PAIRS).await?;
    let calm = bench.platform(&Fuse::never());
    let handle = calm.session(actor()).app(&app()).await.map_err(|e| e.to_string())?;
    (pair.first)(handle).await.map_err(|e| e.to_string())?;
    let reached = steps(&bench, &calm, step).await?;
    drop(calm);

    let platform = bench.platform(fuse);
    let mut acknowledged = None;
    let floor = || {
        let ready = bench.world.ready(&app(), &ProcessType::web());
        if ready < 2 { Err(format!("only {ready} of 2 processes are ready")) } else { Ok(()) }
    };
    let work = async {
        if let Ok(handle) = platform.session(actor()).app(&app()).await {
            acknowledged = (pair.second)(handle).await.ok();
        }
        bench.drive(&platform, floor).await
    };
    tokio::select! {
        ended = work => ended?,
        () = fuse.death() => {}
    }
    drop(platform);
    if forgets {
        bench.world.forget();
    }
    let next = bench.platform(&Fuse::never());
    bench.drive(&next, || if forgets { Ok(()) } else { floor() }).await?;
    judge(&bench, &next, acknowledged.is_some(), pair.fails).await?;
    Ok(reached)
}

/// Drives the first change so many steps on; `false` if it was over before.
async fn steps(bench: &Bench, platform: &Platform, count: usize) -> Result<bool, String> {
    let mut resting = 0;
    for _ in 0..count {
        match platform.pass(&app()).await.map_err(|e| e.to_string())? {
            Progress::Stepped => {}
            Progress::Resting if resting > 2 => return Ok(false),
            other => {
                resting += usize::from(other == Progress::Resting);
                bench.world.tick();
            }
        }
    }
    Ok(true)
}

async fn judge(bench: &Bench, platform: &Platform, acknowledged: bool, fails: bool) -> Result<(), String> {
    let handle = platform.session(actor()).app(&app()).await.map_err(|e| e.to_string())?;
    let page = PageQuery { offset: 0, limit: 100 };
    let all = handle.releases(page).await.map_err(|e| e.to_string())?.items;
    if let Some(open) = all.iter().find(|r| r.outcome.is_none()) {
        return Err(format!("{} has no outcome at rest", open.release.version));
    }
    let newest =
        all.iter().find(|r| !r.outcome.as_ref().is_some_and(Outcome::is_failed)).map(|r| r.release.version);
    let live = handle.info().await.map_err(|e| e.to_string())?.live;
    if live != newest {
        return Err(format!("live is {live:?}, the newest that did not fail is {newest:?}"));
    }
    if acknowledged && fails && !all.first().and_then(|r| r.outcome.as_ref()).is_some_and(Outcome::is_failed)
    {
        return Err("the broken second change did not fail".to_owned());
    }
    let instances = bench.world.instances(&app());
    if instances.is_empty() || instances.iter().any(|i| !i.is_ready()) {
        return Err(format!("not everything is ready at rest: {instances:?}"));
    }
    let templates: BTreeSet<_> = instances.iter().map(|i| (&i.process, &i.template)).collect();
    let types: BTreeSet<_> = templates.iter().map(|(process, _)| *process).collect();
    if types.len() != templates.len() {
        return Err(format!("two templates of one type run: {instances:?}"));
    }
    let web = instances.iter().find(|i| i.process == ProcessType::web());
    if web.is_none_or(|i| Some(i.release) != live) {
        return Err(format!("what runs is not live {live:?}: {instances:?}"));
    }
    Ok(())
}
