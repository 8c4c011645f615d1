//! When an app is looked at again.

use super::*;

fn blog() -> AppName {
    AppName::new("blog").unwrap()
}

/// When the next look is due, from now; `None` if none is.
fn due_in(queue: &WorkQueue) -> Option<Duration> {
    let pause = queue.next() - Instant::now();
    (pause < Duration::from_secs(3600)).then_some(pause)
}

/// The pause after a look.
fn after(queue: &mut WorkQueue, outcome: PassOutcome) -> Option<Duration> {
    assert!(queue.begin(&blog()));
    queue.end(blog(), outcome);
    due_in(queue)
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_looked_at_soon_and_who_rests_is_not() {
    let mut queue = WorkQueue::default();
    assert_eq!(queue.next() - Instant::now(), Duration::from_secs(3600));
    assert_eq!(after(&mut queue, PassOutcome::Waiting), Some(WAIT));
    assert_eq!(queue.due(), BTreeSet::new());
    tokio::time::advance(WAIT).await;
    assert_eq!(queue.due(), [blog()].into());
    assert_eq!(after(&mut queue, PassOutcome::Done), None);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(queue.due(), BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn the_pause_after_an_outage_doubles_up_to_a_bound() {
    let mut queue = WorkQueue::default();
    let pauses: Vec<_> =
        (0..8).map(|_| after(&mut queue, PassOutcome::Unavailable).unwrap().as_millis()).collect();
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    after(&mut queue, PassOutcome::Done);
    assert_eq!(
        after(&mut queue, PassOutcome::Unavailable),
        Some(Duration::from_millis(100)),
        "it was back in between"
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_for_during_a_look_is_looked_at_once_more() {
    for (outcome, expected) in [
        (PassOutcome::Done, Duration::ZERO),
        (PassOutcome::Waiting, Duration::ZERO),
        // Asking a back end that is away at once again is no use.
        (PassOutcome::Unavailable, Duration::from_millis(100)),
    ] {
        let mut queue = WorkQueue::default();
        assert!(queue.begin(&blog()));
        assert!(!queue.begin(&blog()), "one look at a time");
        queue.end(blog(), outcome);
        assert_eq!(due_in(&queue), Some(expected), "{outcome:?}");
        assert!(queue.begin(&blog()));
        queue.end(blog(), PassOutcome::Done);
        assert_eq!(due_in(&queue), None, "only once more");
    }
}
