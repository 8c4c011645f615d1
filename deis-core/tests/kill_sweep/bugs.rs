//! The sweep must be able to fail: it finds each planted fault, and it is the sweep that finds it.

use deis_core::Bug;

use super::{
    pairs, scenarios,
    sweep::{Scenario, fault_free, sweep},
};

/// Every scenario ends well with the bug in it as long as nothing fails.
async fn harmless_without_faults(bug: Bug, all: Vec<(&'static str, Scenario)>) {
    for (name, scenario) in all {
        for step in 0.. {
            match fault_free(&scenario, step, bug).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => panic!("{bug:?} shows in {name} after step {step} without any fault: {error}"),
            }
        }
    }
}

/// The first point of the sweep that shows the bug.
async fn found(bug: Bug, all: Vec<(&'static str, Scenario)>) -> String {
    for (name, scenario) in all {
        if let Err(error) = sweep(&scenario, bug).await {
            let found = format!("{name}: {error}");
            println!("kill sweep: {bug:?} is found by {found}");
            return found;
        }
    }
    panic!("the sweep does not find {bug:?}")
}

#[tokio::test(start_paused = true)]
async fn a_success_recorded_before_its_effect_is_found_by_a_death_between_them() {
    harmless_without_faults(Bug::CommitFirst, scenarios::all()).await;
    let found = found(Bug::CommitFirst, scenarios::all()).await;
    assert!(found.contains("success is on record before the routes are published"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn a_release_command_started_before_its_record_is_found_by_a_death_between_them() {
    harmless_without_faults(Bug::StartFirst, scenarios::all()).await;
    let commands = scenarios::all().into_iter().filter(|(name, _)| name.contains("release_command"));
    let found = found(Bug::StartFirst, commands.collect()).await;
    assert!(found.contains("ran 2 times"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn a_generation_used_twice_is_found_by_superseding_only() {
    let bug = Bug::NoFence;
    harmless_without_faults(bug, scenarios::all()).await;
    found(bug, pairs::all()).await;
}

/// This one needs no fault: any release that fails shows it.
#[tokio::test(start_paused = true)]
async fn a_live_release_that_is_guessed_is_found_by_failures_only() {
    let bug = Bug::LiveIsNewest;
    let (bad, good): (Vec<_>, Vec<_>) =
        scenarios::all().into_iter().partition(|(name, _)| name.starts_with("failed_"));
    harmless_without_faults(bug, good).await;
    found(bug, bad).await;
}
