//! Two platform processes at once, without any lease: who loses a race reads again.

use deis_core::{
    Bug, Generation, Progress,
    conformance::faults::Fuse,
    port::{Scheduler, SchedulerError},
};

use super::{
    bench::{Bench, actor, app},
    scenarios,
};

#[tokio::test(start_paused = true)]
async fn two_drivers_converge() {
    for pattern in 0_u64..200 {
        let bench = Bench::new(Bug::None);
        bench.prepare(scenarios::redeploy().before).await.unwrap();
        let drivers = [bench.platform(&Fuse::never()), bench.platform(&Fuse::never())];
        let handle = drivers[0].session(actor()).app(&app()).await.unwrap();
        let change = (scenarios::redeploy().deed)(handle).await.unwrap();
        let mut bits = pattern.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut calm = 0;
        while calm < 6 {
            bits = bits.rotate_left(7) ^ pattern;
            let driver = &drivers[usize::from(bits & 1 == 1)];
            // Both at once: each may lose its commit to the other.
            let both = bits & 6 == 6;
            let progress = if both {
                let name = app();
                let (a, b) = tokio::join!(drivers[0].pass(&name), drivers[1].pass(&name));
                a.unwrap();
                b.unwrap()
            } else {
                driver.pass(&app()).await.unwrap()
            };
            calm = if progress == Progress::Resting { calm + 1 } else { 0 };
            if progress != Progress::Stepped {
                bench.world.tick();
            }
        }
        let handle = drivers[1].session(actor()).app(&app()).await.unwrap();
        assert_eq!(handle.info().await.unwrap().live, change.release, "pattern {pattern}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_driver_is_refused() {
    let bench = Bench::new(Bug::None);
    bench.prepare(scenarios::redeploy().before).await.unwrap();
    let app_ref =
        bench.platform(&Fuse::never()).session(actor()).app(&app()).await.unwrap().app().reference();
    let seen = Scheduler::observe(&bench.world, &app_ref).await.unwrap();
    let old = deis_core::Workload::empty(app_ref.clone(), Generation(1));
    let refused = bench.world.apply(&old).await;
    assert!(matches!(refused, Err(SchedulerError::Stale { current, .. }) if current == seen.generation));
    // And the other way round: a store that is behind its scheduler moves its numbers above.
    let ahead = deis_core::Workload {
        generation: Generation(seen.generation.0 + 40),
        ..deis_core::Workload::empty(app_ref.clone(), Generation(0))
    };
    bench.world.apply(&ahead).await.unwrap();
    let platform = bench.platform(&Fuse::never());
    bench.drive(&platform, || Ok(())).await.unwrap();
    let after = Scheduler::observe(&bench.world, &app_ref).await.unwrap();
    assert!(after.generation > ahead.generation);
    assert_eq!(bench.world.ready(&app(), &deis_core::ProcessType::web()), 2);
}
