//! Two platform processes at once, without any lease: who loses a race reads again.

use deis_core::{
    Bug, Generation, ProcessType, Progress, Workload,
    conformance::faults::Fuse,
    port::{Scheduler, SchedulerError},
};

use super::{
    bench::{Bench, actor, app},
    deeds::{Deed, Kit},
    oracle::{self, Way},
    scenarios::LIVE,
    watch::Watch,
};

const DEEDS: [Deed; 5] = [
    Deed::Deploy(Kit::Better),
    Deed::Deploy(Kit::Crashes),
    Deed::Deploy(Kit::Release),
    Deed::Deploy(Kit::ReleaseFails),
    Deed::Scale("web", 3),
];

/// Both drive at once, and each takes its turns between the calls of the other as a seed says.
#[tokio::test(start_paused = true)]
async fn two_drivers_converge() {
    let base = Bench::prepare(&LIVE, Bug::None).await.unwrap();
    for seed in 0..100 {
        for deed in DEEDS {
            let mut bench = base.fork();
            let drivers =
                [2 * seed, 2 * seed + 1].map(|seed| bench.platform(&Fuse::never().taking_turns(seed)));
            let watch = Watch::new(&bench, 2);
            bench.attempt(&drivers[0], deed).await;
            let name = app();
            let mut calm = 0;
            while calm < 3 {
                let both = tokio::join!(drivers[0].pass(&name), drivers[1].pass(&name));
                watch.look().unwrap();
                let stepped = [both.0.unwrap(), both.1.unwrap()].contains(&Progress::Stepped);
                let moved = !stepped && bench.world.tick();
                calm = if stepped || moved { 0 } else { calm + 1 };
            }
            let way = Way { died: false, rested: true };
            oracle::judge(&bench, way).await.unwrap_or_else(|e| panic!("{deed:?}, {seed}: {e}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_driver_is_refused() {
    let bench = Bench::prepare(&LIVE, Bug::None).await.unwrap();
    let platform = bench.platform(&Fuse::never());
    let app_ref = platform.session(actor()).app(&app()).await.unwrap().app().reference();
    let seen = Scheduler::observe(&bench.world, &app_ref).await.unwrap();
    let old = Workload::empty(app_ref.clone(), Generation(1));
    let refused = bench.world.apply(&old).await;
    assert!(matches!(refused, Err(SchedulerError::Stale { current, .. }) if current == seen.generation));
    // And the other way round: a store that is behind its scheduler moves its numbers above.
    let ahead = Workload::empty(app_ref.clone(), Generation(seen.generation.0 + 40));
    bench.world.apply(&ahead).await.unwrap();
    bench.drive(&platform, || Ok(())).await.unwrap();
    let after = Scheduler::observe(&bench.world, &app_ref).await.unwrap();
    assert!(after.generation > ahead.generation);
    assert_eq!(bench.world.ready(&app(), &ProcessType::web()), 2);
    oracle::judge(&bench, Way { died: false, rested: false }).await.unwrap();
}
