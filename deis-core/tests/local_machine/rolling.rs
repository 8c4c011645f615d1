//! Rollouts over several instances.

use std::time::Duration;

use deis_core::{ProcessType, local::LocalScheduler, model::Instance, routing::Lease};

use crate::support::{Machine, eventually, serve, timing, web};

const SCALE: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_last_hold_up_no_rollout() {
    let mut machine = Machine::new();
    // Longer than anything here waits: a rollout that waits for a drained instance never ends.
    let mut timing = timing();
    timing.drain_limit = Duration::from_secs(3600);
    let scheduler = LocalScheduler::open(machine.options().with_timing(timing)).await.unwrap();
    let scale = u32::try_from(SCALE).unwrap();
    machine.apply(&scheduler, scale, web(serve())).await;
    let ready = |all: &[Instance], old: &[Instance]| {
        let is_new = |i: &&Instance| i.is_ready() && old.iter().all(|o| o.name != i.name);
        all.iter().filter(is_new).count()
    };
    let old = eventually("the old ones are ready", || async {
        let all = machine.instances(&scheduler).await;
        (ready(&all, &[]) == SCALE).then_some(all)
    })
    .await;
    let leases: Vec<Lease> = (0..SCALE)
        .map(|_| machine.endpoints.lease(machine.app.uid, &ProcessType::web(), &[]).unwrap())
        .collect();
    assert!(old.iter().all(|i| leases.iter().any(|l| *l.instance() == i.name)), "one lease for each");

    let mut changed = web(serve());
    changed.restarts += 1;
    machine.apply(&scheduler, scale, changed).await;
    eventually("all new ones are ready", || async {
        (ready(&machine.instances(&scheduler).await, &old) == SCALE).then_some(())
    })
    .await;
    let running = machine.instances(&scheduler).await;
    assert!(
        old.iter().all(|i| running.iter().any(|r| r.name == i.name)),
        "no old one was stopped under its request"
    );
    drop(leases);
    machine.remove(&scheduler).await;
}
