//! Changes of desired state: a release, its workloads and its rollout in one batch; and how a rollout ends.

use super::{
    apps::{AppState, HeldWorkloads, LoadedRelease, RoutesChange, attempt, replace_workloads},
    keys,
    record::{Edits, scan},
};
use crate::{
    model::{
        AppName, Cause, EventKind, Formation, Generation, Outcome, Phase, ReleaseCommand, ReleaseRef,
        ReleaseVersion, Rollout, RolloutEnd, Timestamp, Username,
    },
    plan::{
        convergence::min_ready_time,
        lower::{Source, groups, workloads},
        rollout::WorkloadRole,
    },
    port::{Order, Scan, Store, StoreError},
};

/// What shall run.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The release, with a build.
    pub target: LoadedRelease,
    /// Whether the release is made by this change.
    pub is_new: bool,
    /// The formation it runs in.
    pub formation: Formation,
    /// Active time that its rollout may take, in milliseconds, besides the minimum ready times.
    pub deadline_ms: u64,
    /// What is held of the rollouts before.
    pub held: HeldWorkloads,
}

/// The generation that the next rollout of an app gets.
pub fn next_generation(state: &AppState) -> Generation {
    state.head.value.generation.plus(3)
}

/// Puts a rollout to `desired` into the batch and moves the head to it; the caller writes the head.
///
/// An unfinished rollout is superseded: a forward one is absorbed, one that goes back is recorded as failed.
///
/// # Errors
/// [`StoreError::Corrupt`] for a release without a build.
pub fn start_rollout(
    edits: &mut Edits,
    state: &mut AppState,
    desired: &Desired,
    now: Timestamp,
) -> Result<Rollout, StoreError> {
    let app = state.name().clone();
    let g = next_generation(state);
    let before = state.rollout.clone();
    let unfinished = state.unfinished().cloned();
    let target = desired.target.release.version;

    let mut absorbed = Vec::new();
    let mut decides = desired.is_new;
    let mut command = command_of(&desired.target);
    let (live_generation, restored) = match (&unfinished, before.as_ref().map(|r| &r.value)) {
        (Some(old), _) => {
            state.raise_routes(RoutesChange::SameDomains);
            if let Phase::Reverting { cause } = &old.phase {
                record_failed(edits, state, old, cause, now);
                (old.generation.plus(2), old.restored.clone())
            } else {
                absorbed.clone_from(&old.absorbed);
                if desired.is_new {
                    absorbed.extend(old.decides.then_some(old.target));
                } else {
                    decides = old.decides;
                    command = old.command;
                }
                (old.live_generation, old.restored.clone())
            }
        }
        (None, Some(ended)) => (WorkloadRole::held(ended).generation(ended), state.formation.value.clone()),
        (None, None) => (Generation(0), state.formation.value.clone()),
    };
    if !desired.is_new && unfinished.as_ref().is_none_or(|r| matches!(r.phase, Phase::Reverting { .. })) {
        // A scale or restart of live: its release command has run.
        command = ReleaseCommand::None;
    }

    let live = desired.held.workload(live_generation);
    let build = desired.target.build.as_ref().ok_or_else(|| StoreError::Corrupt {
        key: keys::release(&app, target),
        source: "a release without a build cannot be rolled out".into(),
    })?;
    let reference = state.reference();
    let source =
        Source { app: &reference, release: &desired.target.release, build, config: &desired.target.config };
    let lowered = workloads(&reference, g, groups(source, &desired.formation), live);
    replace_workloads(edits, &app, &desired.held.workloads, &lowered, live_generation);
    for (key, revision) in &desired.held.old_ends {
        edits.delete(key.clone(), *revision);
    }

    let ready_ms = u64::try_from(min_ready_time(&lowered.target_only).as_millis()).unwrap_or(u64::MAX);
    let rollout = Rollout {
        generation: g,
        target,
        attempt: if desired.is_new { attempt(g) } else { desired.target.release.attempt },
        absorbed,
        decides,
        phase: Phase::Staging,
        command,
        retires: lowered.retires(),
        live_generation,
        restored,
        spent_ms: 0,
        stalled_ms: 0,
        deadline_ms: desired.deadline_ms.saturating_add(ready_ms),
        started: now,
    };
    edits.upsert(keys::rollout(&app), before.map(|r| r.revision), &rollout);
    edits.replace(keys::formation(&app), state.formation.revision, &desired.formation);
    state.formation.value = desired.formation.clone();
    state.head.value.generation = g;
    let phase = EventKind::RolloutPhase { version: target, phase: rollout.phase.name().to_owned() };
    state.event(edits, now, None, phase);
    Ok(rollout)
}

/// Records an unfinished rollout that goes back as failed without starting another: a change came that has nothing
/// to roll out. The caller writes the head.
pub fn abandon_reverting(edits: &mut Edits, state: &mut AppState, now: Timestamp) {
    let Some(stored) = state.rollout.clone() else { return };
    if let Phase::Reverting { cause } = &stored.value.phase {
        record_failed(edits, state, &stored.value, cause, now);
        let mut ended = stored.value.clone();
        ended.phase = Phase::Failed { cause: cause.clone(), fallback_unhealthy: false };
        edits.replace(keys::rollout(state.name()), stored.revision, &ended);
        edits.replace(keys::formation(state.name()), state.formation.revision, &stored.value.restored);
        state.formation.value = stored.value.restored;
    }
}

/// Puts the end of a rollout into a batch: outcomes, live, formation, events.
pub fn finish(edits: &mut Edits, state: &mut AppState, rollout: &Rollout, now: Timestamp) {
    let app = state.name().clone();
    match &rollout.phase {
        Phase::Succeeded => {
            edits.create(keys::ended(&app, rollout.generation), &RolloutEnd::Succeeded);
            for version in &rollout.absorbed {
                let outcome = Outcome::Superseded { by: rollout.target, at: now };
                edits.create(keys::outcome(&app, *version), &outcome);
                state.event(
                    edits,
                    now,
                    None,
                    EventKind::ReleaseSuperseded { version: *version, by: rollout.target },
                );
            }
            if rollout.decides {
                edits.create(keys::outcome(&app, rollout.target), &Outcome::Succeeded { at: now });
            }
            state.event(edits, now, None, EventKind::ReleaseLive { version: rollout.target });
            state.head.value.live = Some(rollout.target);
        }
        Phase::Failed { cause, .. } => {
            record_failed(edits, state, rollout, cause, now);
            edits.replace(keys::formation(&app), state.formation.revision, &rollout.restored);
            state.formation.value = rollout.restored.clone();
        }
        _ => {}
    }
}

fn record_failed(edits: &mut Edits, state: &AppState, rollout: &Rollout, cause: &Cause, now: Timestamp) {
    let app: &AppName = state.name();
    edits.create(keys::ended(app, rollout.generation), &RolloutEnd::Failed { cause: cause.clone() });
    let decided = rollout.absorbed.iter().copied().chain(rollout.decides.then_some(rollout.target));
    let mut none = true;
    for version in decided {
        none = false;
        edits.create(keys::outcome(app, version), &Outcome::Failed { cause: cause.clone(), at: now });
        state.event(edits, now, None, EventKind::ReleaseFailed { version, cause: cause.clone() });
    }
    if none {
        state.event(edits, now, None, EventKind::ScaleFailed { cause: cause.clone() });
    }
}

/// What became of a change that generation `g` carries; `None` while it is under way.
///
/// A rollout that is overtaken while it goes forward has no end of its own: the first one that ended at `g` or later
/// is the one that absorbed it.
///
/// # Errors
/// [`StoreError`], if the store cannot be reached or the record cannot be read.
pub async fn end_of(
    store: &dyn Store,
    app: &AppName,
    g: Generation,
) -> Result<Option<RolloutEnd>, StoreError> {
    let after = g.0.checked_sub(1).map(|before| keys::ended(app, Generation(before)));
    let first = Scan::prefix(keys::below("ended", app)).order(Order::KeyAsc { after }).limit(1);
    Ok(scan::<RolloutEnd>(store, &first).await?.pop().map(|(_, end)| end.value))
}

/// Makes a release without anything to roll out live in its own batch.
pub fn live_at_once(edits: &mut Edits, state: &mut AppState, version: ReleaseVersion, now: Timestamp) {
    edits.create(keys::outcome(state.name(), version), &Outcome::Succeeded { at: now });
    state.head.value.live = Some(version);
}

/// What a batch does to an app besides its head.
#[derive(Clone, Debug, Default)]
pub struct AppChange<'a> {
    /// The app's rollout once the batch applies.
    pub rollout: Option<&'a Rollout>,
    /// The release that it makes.
    pub made: Option<ReleaseRef>,
    /// Who changes the app by it; the reconciler goes on with what somebody has changed.
    pub by: Option<&'a Username>,
}

/// Writes the app's head, and its record as lists show it.
pub fn write_head(edits: &mut Edits, state: &mut AppState, now: Timestamp, change: AppChange<'_>) {
    edits.replace(keys::head(state.name()), state.head.revision, &state.head.value);
    state.write_app(edits, change.rollout, change.made, change.by.map(|_| now));
}

fn command_of(target: &LoadedRelease) -> ReleaseCommand {
    let declared = target
        .build
        .as_ref()
        .is_some_and(|b| b.spec.processes.keys().any(crate::plan::formation::is_release_phase));
    if declared { ReleaseCommand::Declared } else { ReleaseCommand::None }
}
