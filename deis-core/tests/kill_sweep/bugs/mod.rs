//! The sweep must be able to fail: faults are planted into the back ends, from outside, and the sweep finds each.
//!
//! Each stands for a mistake that somebody could make in the engine, or in a back end: the wrapped back end behaves as
//! if that mistake had been made.

mod router;
mod runner;
mod scheduler;
mod store;

use std::sync::Arc;

use deis_core::{
    conformance::{faults::Fault, sim::World},
    model::{AppRef, Rollout},
    state::{keys, record::get},
    store::MemoryStore,
};
use futures_util::FutureExt as _;

use self::{router::PlantedRouter, runner::PlantedRunner, scheduler::PlantedScheduler, store::PlantedStore};
use super::{
    harness::BackEnds,
    pairs, scenarios,
    sweep::{Finder, Finding, Outage, Scenario, fault_free, sweep},
};

/// A planted fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Bug {
    /// None.
    #[default]
    None,
    /// The router acknowledges routes before it has them.
    RouterAcknowledgesFirst,
    /// The scheduler takes an older generation after a newer one.
    SchedulerDropsFence,
    /// The store writes over whatever is there.
    StoreDropsFence,
    /// The batch that ends a rollout makes the newest release live.
    LiveIsNewest,
    /// The record that a release command is started comes after the start.
    StartedRecordedLate,
    /// A change that overtakes an unfinished rollout leaves the counter of routes as it was.
    RoutesNotRaised,
    /// Going back applies the old workload before it publishes the old routes.
    RevertAppliesFirst,
    /// An older release command that still runs is not waited for.
    OlderCommandIgnored,
    /// A scheduler that forgot what is live is not told while a release is prepared.
    ForgottenLiveIgnored,
    /// An app counts as gone as soon as none of its instances is left.
    RemainsIgnored,
    /// The clock of a rollout runs on while nothing can move.
    StallIgnored,
    /// What is seen of instances counts as evidence although nothing moves after an outage.
    OutageIsEvidence,
}

impl Bug {
    /// The back ends of a new platform process with the fault in them.
    pub(super) fn plant(self, ends: BackEnds, memory: &Arc<MemoryStore>, world: &World) -> BackEnds {
        if self == Self::None {
            return ends;
        }
        let store = Arc::new(PlantedStore::new(self, Arc::clone(memory)));
        let (memory, world) = (Arc::clone(memory), world.clone());
        BackEnds {
            scheduler: Arc::new(PlantedScheduler {
                bug: self,
                inner: ends.scheduler,
                memory: Arc::clone(&memory),
                world: world.clone(),
            }),
            router: Arc::new(PlantedRouter::new(self, ends.router, memory, world)),
            runner: Arc::new(PlantedRunner { bug: self, inner: ends.runner, store: Arc::clone(&store) }),
            store,
        }
    }
}

/// The newest rollout of an app, as it is on record.
fn rollout(memory: &MemoryStore, app: &AppRef) -> Option<Rollout> {
    let key = keys::rollout(&app.name);
    let found = get::<Rollout>(memory, &key).now_or_never().expect("memory answers at once");
    Some(found.ok()??.value)
}

/// All scenarios and pairs with these names.
fn named(names: &[&str]) -> Vec<(&'static str, Scenario)> {
    let all = scenarios::all().into_iter().chain(pairs::all());
    let found: Vec<_> = all.filter(|(name, _)| names.contains(name)).collect();
    assert_eq!(found.len(), names.len(), "not all of {names:?} are there");
    found
}

/// Every scenario ends well with the fault in it as long as nothing else fails.
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

/// The first point of the sweep that shows the fault. Without it the same scenarios pass, which are tests of their own.
async fn found(bug: Bug, all: Vec<(&'static str, Scenario)>) -> Finding {
    for (name, scenario) in all {
        if let Err(finding) = Box::pin(sweep(&scenario, bug)).await {
            println!("kill sweep: {bug:?} is found in {name} by {finding}");
            return finding;
        }
    }
    panic!("the sweep does not find {bug:?}")
}

/// Says who found it, and that it is this which was found.
fn check(finding: &Finding, by: impl Fn(Finder) -> bool, parts: &[&str]) {
    assert!(by(finding.by), "it is not found by who should: {finding}");
    assert!(parts.iter().any(|part| finding.what.contains(part)), "something else is found: {finding}");
}

/// With back ends that remember or not: whether a runner starts an attempt twice is up to what it remembers.
fn is_death(by: Finder) -> bool {
    matches!(by, Finder::Fault(Fault::DieBefore | Fault::DieAfter, Outage::None | Outage::Forgets))
}

/// Any release that changes where requests go shows it: no fault is needed.
#[tokio::test(start_paused = true)]
async fn routes_that_are_acknowledged_first_are_found_by_who_is_not_served() {
    let found = found(Bug::RouterAcknowledgesFirst, named(&["routable_type_retires"])).await;
    check(&found, |by| by == Finder::NoFault || is_death(by), &["serve", "before the routes are published"]);
}

#[tokio::test(start_paused = true)]
async fn a_release_command_started_before_its_record_is_found_by_a_death_between_them() {
    let commands = named(&["release_command", "release_command_of_a_config", "failed_release_command"]);
    harmless_without_faults(Bug::StartedRecordedLate, commands.clone()).await;
    let found = found(Bug::StartedRecordedLate, commands).await;
    check(&found, is_death, &["ran 2 times"]);
}

/// This one needs no fault: any release that fails shows it.
#[tokio::test(start_paused = true)]
async fn a_live_release_that_is_guessed_is_found_by_failures_only() {
    let bug = Bug::LiveIsNewest;
    harmless_without_faults(bug, named(&["redeploy", "config_change", "rollback", "scale_up"])).await;
    let found = found(bug, named(&["failed_redeploy"])).await;
    check(&found, |by| by == Finder::NoFault, &["live is"]);
}

/// No fault is needed, but the change must come at the very step after which the new type is routed.
#[tokio::test(start_paused = true)]
async fn routes_that_an_overtaking_change_does_not_raise_are_found_by_who_is_not_served() {
    let found = found(Bug::RoutesNotRaised, named(&["newly_routed_type_overtaken_by_its_end"])).await;
    check(&found, |by| by == Finder::NoFault, &["serve"]);
}

#[tokio::test(start_paused = true)]
async fn going_back_in_the_wrong_order_is_found_by_who_is_not_served() {
    let found = found(Bug::RevertAppliesFirst, named(&["routed_type_changes"])).await;
    check(&found, |by| matches!(by, Finder::Fault(_, Outage::Spoils)), &["serve"]);
}

#[tokio::test(start_paused = true)]
async fn an_older_release_command_that_nobody_waits_for_is_found_beside_the_newer_one() {
    let found = found(Bug::OlderCommandIgnored, named(&["release_command_overtaken_by_config"])).await;
    check(&found, |_| true, &["two release commands"]);
}

#[tokio::test(start_paused = true)]
async fn a_scheduler_that_forgot_and_is_not_told_is_found_by_what_does_not_come_back() {
    let bug = Bug::ForgottenLiveIgnored;
    harmless_without_faults(bug, named(&["slow_release_command", "release_command"])).await;
    let found = found(bug, named(&["slow_release_command"])).await;
    let outages = [Outage::Reboots, Outage::Loses, Outage::Forgets];
    check(&found, |by| matches!(by, Finder::Fault(_, outage) if outages.contains(&outage)), &[""]);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_gone_too_early_is_found_by_what_remains() {
    let found = found(Bug::RemainsIgnored, named(&["destroy"])).await;
    check(&found, |by| by == Finder::NoFault, &["namespace"]);
}

/// A long pull needs no fault to show that; an outage is one.
#[tokio::test(start_paused = true)]
async fn a_clock_that_runs_on_is_found_by_what_could_not_move() {
    let shown = fault_free(&scenarios::slow_pull(), 0, Bug::StallIgnored).await.unwrap_err();
    assert!(shown.contains("Timeout"), "{shown}");
    let found = found(Bug::StallIgnored, named(&["redeploy"])).await;
    check(&found, |by| matches!(by, Finder::Fault(_, Outage::Stalls)), &["Timeout"]);
}

#[tokio::test(start_paused = true)]
async fn evidence_from_an_outage_is_found_by_what_works_after_it() {
    let bug = Bug::OutageIsEvidence;
    harmless_without_faults(bug, named(&["redeploy"])).await;
    let found = found(bug, named(&["redeploy"])).await;
    check(&found, |by| matches!(by, Finder::Fault(_, Outage::Stalls)), &["NodeLost"]);
}

/// What a dead process still had under way arrives late: fences are against that.
#[tokio::test(start_paused = true)]
async fn a_scheduler_without_fences_is_found_by_late_calls() {
    let all = named(&["scale_overtaken_by_a_smaller_scale", "scale_down_overtaken_by_scale_up"]);
    harmless_without_faults(Bug::SchedulerDropsFence, all.clone()).await;
    let found = found(Bug::SchedulerDropsFence, all).await;
    check(&found, |by| by == Finder::Late, &[""]);
}

#[tokio::test(start_paused = true)]
async fn a_store_without_revisions_is_found_by_late_calls() {
    let all = named(&["scale_overtaken_by_a_smaller_scale", "scale_down_overtaken_by_scale_up"]);
    harmless_without_faults(Bug::StoreDropsFence, all.clone()).await;
    let found = found(Bug::StoreDropsFence, all).await;
    check(&found, |by| by == Finder::Late, &[""]);
}
