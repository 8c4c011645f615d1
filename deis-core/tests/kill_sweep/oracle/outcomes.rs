//! How releases end, and what those who wait for them are told.

use std::collections::BTreeMap;

use deis_core::{
    ChangeOutcome,
    model::{Cause, Exit, Outcome},
};

use super::{
    records::{Known, Records},
    shape::Fate,
};
use crate::{
    actions::TestBuild,
    harness::{Attempted, Harness},
};

/// Live is the newest release that did not fail; each outcome has a reason.
pub(super) fn check(harness: &Harness, records: &Records, died: bool) -> Result<(), String> {
    let all = &records.releases;
    let newest = all.iter().rfind(|known| !known.outcome.is_failed()).map(|known| known.release.version);
    if records.live != newest {
        return Err(format!(
            "live is {:?}, the newest release that did not fail is {newest:?}",
            records.live
        ));
    }
    for (index, known) in all.iter().enumerate() {
        let version = known.release.version;
        match &known.outcome {
            Outcome::Succeeded { .. } => {}
            Outcome::Superseded { by, .. } => {
                let winner = records.version(*by).filter(|w| *by > version && !w.outcome.is_failed());
                if !winner.is_some_and(|w| matches!(w.outcome, Outcome::Succeeded { .. })) {
                    return Err(format!("{version} gave way to {by}, which is not live later"));
                }
            }
            Outcome::Failed { cause, .. } => {
                if !failed_together(&all[index..], cause).any(|k| is_reason(harness, k, cause, records, died))
                {
                    return Err(format!("{version} failed without a reason: {cause:?}"));
                }
            }
        }
    }
    release_commands(harness, all)
}

/// This release and those after it that failed for the same cause: one of them is to blame.
fn failed_together<'a>(all: &'a [Known], cause: &'a Cause) -> impl Iterator<Item = &'a Known> {
    all.iter()
        .take_while(move |k| matches!(&k.outcome, Outcome::Failed { cause: other, .. } if other == cause))
}

fn is_reason(harness: &Harness, known: &Known, cause: &Cause, records: &Records, died: bool) -> bool {
    match cause {
        Cause::CrashLoop { .. } => {
            known.content.build == Some(TestBuild::Crashes) || harness.world.has_spoiled()
        }
        // Old instances that could still make room keep the evidence from counting until the time is up.
        Cause::Unschedulable { .. } | Cause::Timeout { .. } => known.content.build == Some(TestBuild::NoRoom),
        Cause::ReleaseCommand { exit: Some(exit), .. } => {
            let ran = harness.world.release_runs().contains(&known.release.attempt.0);
            ran && known.content.build == Some(TestBuild::ReleaseFails) && *exit == Exit::Code(1)
        }
        // Interrupted: only by a death, and only as long as nobody had seen it end well.
        Cause::ReleaseCommand { exit: None, .. } => {
            let declared = known.content.build.is_some_and(TestBuild::has_release_command);
            died && declared && !records.rolled.contains(&known.release.version)
        }
        _ => false,
    }
}

/// A release command runs at most once, and before its release is live.
fn release_commands(harness: &Harness, all: &[Known]) -> Result<(), String> {
    let mut runs: BTreeMap<u64, usize> = BTreeMap::new();
    for attempt in harness.world.release_runs() {
        *runs.entry(attempt).or_default() += 1;
    }
    for known in all {
        let version = known.release.version;
        let declared = known.content.build.is_some_and(TestBuild::has_release_command);
        let count = runs.remove(&known.release.attempt.0).unwrap_or(0);
        let must = declared && matches!(known.outcome, Outcome::Succeeded { .. });
        if count > usize::from(declared) || (must && count == 0) {
            return Err(format!("the release command of {version} ran {count} times: {:?}", known.outcome));
        }
    }
    if runs.is_empty() { Ok(()) } else { Err(format!("release commands of nobody ran: {runs:?}")) }
}

/// Whoever waits for a release is told its outcome; one that gave way is done only if what is live runs its build.
pub(super) fn check_told(
    attempted: &Attempted,
    records: &Records,
    index: usize,
    told: Option<&ChangeOutcome>,
) -> Result<Fate, String> {
    let known = &records.releases[index];
    let build_of = |version| records.version(version).map(|winner| winner.release.build);
    let (fate, truth) = match &known.outcome {
        Outcome::Failed { cause, .. } => (Fate::Undone, ChangeOutcome::Failed(cause.clone())),
        Outcome::Superseded { by, .. } if build_of(*by) != Some(known.release.build) => {
            (Fate::InForce, ChangeOutcome::Superseded { by: *by })
        }
        Outcome::Superseded { .. } | Outcome::Succeeded { .. } => (Fate::InForce, ChangeOutcome::Done),
    };
    match told {
        Some(told) if *told != truth => {
            Err(format!("{:?}: {told:?} was told, {truth:?} is true", attempted.action))
        }
        _ => Ok(fate),
    }
}
