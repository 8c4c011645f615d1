//! What a process keeps in memory of an app: its clocks, and what it need not ask or tell again.

use super::*;
use crate::{
    model::{Attempt, Cause, Formation, Phase, ReleaseCommand, ReleaseVersion, Rollout, Timestamp},
    port::Prepared,
};

fn rollout(generation: u64, phase: Phase) -> Rollout {
    Rollout {
        generation: Generation(generation),
        target: ReleaseVersion(2),
        attempt: Attempt(generation),
        absorbed: Vec::new(),
        decides: true,
        phase,
        command: ReleaseCommand::None,
        retires: false,
        live_generation: Generation(0),
        restored: Formation::default(),
        spent_ms: 7000,
        stalled_ms: 2000,
        deadline_ms: 122_000,
        started: Timestamp(0),
    }
}

fn failed() -> Phase {
    Phase::Failed { cause: Cause::Quota { reason: "full".to_owned() }, fallback_unhealthy: false }
}

async fn seconds(count: u64) {
    tokio::time::advance(Duration::from_secs(count)).await;
}

#[tokio::test(start_paused = true)]
async fn time_counts_from_one_look_to_the_next_in_one_of_two_clocks() {
    let mut clock = ActiveTime::start(Duration::from_secs(7), Duration::from_secs(2));
    let read =
        |clock: &ActiveTime| (clock.spent.as_secs(), clock.stalled.as_secs(), clock.unsaved().as_secs());
    clock.tick(false);
    assert_eq!(read(&clock), (7, 2, 0), "nobody looked before");
    seconds(3).await;
    clock.tick(false);
    assert_eq!(read(&clock), (10, 2, 3));
    seconds(4).await;
    clock.tick(true);
    assert_eq!(read(&clock), (10, 6, 7));
    clock.stand_still();
    seconds(100).await;
    clock.tick(false);
    assert_eq!(read(&clock), (10, 6, 7), "nobody drove it meanwhile");
    seconds(1).await;
    clock.tick(false);
    assert_eq!(read(&clock), (11, 6, 8));
}

#[tokio::test(start_paused = true)]
async fn a_clock_goes_on_within_a_budget_and_begins_anew_with_the_next() {
    let mut known = InMemoryState::default();
    let drive = async |known: &mut InMemoryState, rollout: &Rollout| {
        known.follow(rollout);
        known.clock.tick(false);
        seconds(1).await;
        known.clock.tick(false);
        (known.clock.spent_ms(), known.clock.stalled_ms())
    };
    assert_eq!(drive(&mut known, &rollout(4, Phase::Rolling)).await, (8000, 2000), "from the record on");
    // The record is behind; what this process knows is not lost.
    assert_eq!(drive(&mut known, &rollout(4, Phase::Routing)).await, (9000, 2000));
    assert_eq!(known.clock.unsaved(), Duration::from_secs(2));
    let saved = Rollout { spent_ms: 9000, stalled_ms: 1000, ..rollout(4, Phase::Routing) };
    known.saved(&saved);
    assert_eq!(known.clock.unsaved(), Duration::from_secs(1));
    let reverting = Phase::Reverting { cause: Cause::Quota { reason: "full".to_owned() } };
    assert_eq!(drive(&mut known, &rollout(4, reverting)).await, (8000, 2000), "another budget");
    assert_eq!(drive(&mut known, &rollout(7, Phase::Rolling)).await, (8000, 2000), "another rollout");
}

#[tokio::test]
async fn what_is_known_of_one_rollout_is_not_believed_of_the_next() {
    let prepared = || (Digest::of(b"x"), Prepared::default());
    let mut known = InMemoryState::default();
    known.follow(&rollout(4, Phase::Staging));
    known.told = Some("preparing".to_owned());
    known.artifact_lost("gone".to_owned());
    assert_eq!(known.artifact_failed.as_deref(), Some("gone"));
    let (digest, lease) = prepared();
    known.artifact_ready(digest, lease);
    assert_eq!(known.artifact_failed, None);
    assert!(known.refuse(Generation(4)), "that is news");
    assert!(!known.refuse(Generation(4)), "that is not");
    assert!(known.refuse(Generation(6)));
    assert_eq!(known.refused, Some(Generation(6)));

    known.follow(&rollout(4, Phase::Rolling));
    assert!(known.artifact.is_some() && known.refused.is_some(), "the same rollout");
    known.follow(&rollout(4, failed()));
    assert!(known.artifact.is_none(), "it has ended: the artifact may go");
    let (digest, lease) = prepared();
    known.artifact_ready(digest, lease);
    known.follow(&rollout(7, Phase::Staging));
    assert!(known.artifact.is_none() && known.refused.is_none() && known.refusal_told.is_none());
    assert_eq!(known.told.as_deref(), Some("preparing"), "what people were told last stays told");
}

#[tokio::test]
async fn what_was_told_or_followed_is_neither_told_nor_followed_again() {
    let mut known = InMemoryState::default();
    assert!(!known.had_rollout());
    assert!(known.tell(Some("preparing".to_owned())), "that is news");
    assert!(!known.tell(Some("preparing".to_owned())), "that is not");
    assert!(known.tell(None));
    known.follow(&rollout(4, Phase::Staging));
    assert!(known.had_rollout());
    let name = TaskName::new("release-2").unwrap();
    assert!(known.follows(&name, Attempt(4)));
    known.follow(&rollout(7, Phase::Staging));
    assert!(!known.follows(&name, Attempt(4)), "another rollout around the same command");
    assert!(known.follows(&name, Attempt(7)), "another attempt");
}

#[tokio::test(start_paused = true)]
async fn what_others_kept_waiting_for_does_not_count() {
    let mut clock = ActiveTime::default();
    clock.tick(false);
    seconds(60).await;
    clock.begin();
    seconds(1).await;
    clock.tick(false);
    assert_eq!(clock.spent, Duration::from_secs(1));
}

#[test]
fn an_app_that_is_gone_takes_no_memory() {
    let (memory, app) = (Memory::default(), AppName::new("blog").unwrap());
    memory.with_state(&app, |kept| kept.follow(&rollout(4, Phase::Staging)));
    memory.forget(&app);
    assert!(memory.lock().is_empty());
}
