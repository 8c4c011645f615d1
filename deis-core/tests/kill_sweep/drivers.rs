//! Two platform processes at once, without any lease: who loses a race reads again.

use deis_core::{
    ProcessType,
    conformance::faults::Fuse,
    model::{Generation, Workload},
    port::{Scheduler, SchedulerError},
    service::Progress,
};

use super::{
    actions::{Action, TestBuild},
    bugs::Bug,
    harness::{Harness, actor, app},
    oracle::{self, Way},
    scenarios::LIVE,
    watch::Watch,
};

const ACTIONS: [Action; 5] = [
    Action::Deploy(TestBuild::Better),
    Action::Deploy(TestBuild::Crashes),
    Action::Deploy(TestBuild::Release),
    Action::Deploy(TestBuild::ReleaseFails),
    Action::Scale("web", 3),
];

/// Both drive at once, and each takes its turns between the calls of the other as a seed says.
#[tokio::test(start_paused = true)]
async fn two_drivers_converge() {
    let base = Harness::prepare(&LIVE, Bug::None).await.unwrap();
    for seed in 0..100 {
        for action in ACTIONS {
            let mut harness = base.fork();
            let drivers =
                [2 * seed, 2 * seed + 1].map(|seed| harness.platform(&Fuse::never().taking_turns(seed)));
            let watch = Watch::new(&harness, 2);
            harness.attempt(&drivers[0], action).await;
            let name = app();
            let mut calm = 0;
            while calm < 3 {
                let both = tokio::join!(drivers[0].pass(&name), drivers[1].pass(&name));
                watch.look().unwrap();
                let stepped = [both.0.unwrap(), both.1.unwrap()].contains(&Progress::Advanced);
                let moved = !stepped && harness.world.tick();
                calm = if stepped || moved { 0 } else { calm + 1 };
            }
            let way = Way { died: false, rested: true };
            oracle::judge(&harness, way).await.unwrap_or_else(|e| panic!("{action:?}, {seed}: {e}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_driver_is_refused() {
    let harness = Harness::prepare(&LIVE, Bug::None).await.unwrap();
    let platform = harness.platform(&Fuse::never());
    let app_ref = platform.session(actor()).app(&app()).await.unwrap().app().reference();
    let seen = Scheduler::observe(&harness.world, &app_ref).await.unwrap();
    let old = Workload::empty(app_ref.clone(), Generation(1));
    let refused = harness.world.apply(&old).await;
    assert!(matches!(refused, Err(SchedulerError::Stale { current, .. }) if current == seen.generation));
    // And the other way round: a store that is behind its scheduler moves its numbers above.
    let ahead = Workload::empty(app_ref.clone(), Generation(seen.generation.0 + 40));
    harness.world.apply(&ahead).await.unwrap();
    harness.drive(&platform, || Ok(())).await.unwrap();
    let after = Scheduler::observe(&harness.world, &app_ref).await.unwrap();
    assert!(after.generation > ahead.generation);
    assert_eq!(harness.world.ready(&app(), &ProcessType::web()), 2);
    oracle::judge(&harness, Way { died: false, rested: false }).await.unwrap();
}
