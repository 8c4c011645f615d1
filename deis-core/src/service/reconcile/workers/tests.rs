//! When an app is looked at again.

use super::*;

fn blog() -> AppName {
    AppName::new("blog").unwrap()
}

/// When the next visit is due, from now; `None` if none is.
fn due_in(diary: &Diary) -> Option<Duration> {
    let pause = diary.next() - Instant::now();
    (pause < Duration::from_secs(3600)).then_some(pause)
}

/// The pause after a visit.
fn after(diary: &mut Diary, visit: Visit) -> Option<Duration> {
    assert!(diary.begin(&blog()));
    diary.end(blog(), visit);
    due_in(diary)
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_looked_at_soon_and_who_rests_is_not() {
    let mut diary = Diary::default();
    assert_eq!(diary.next() - Instant::now(), Duration::from_secs(3600));
    assert_eq!(after(&mut diary, Visit::Waits), Some(WAIT));
    assert_eq!(diary.due(), BTreeSet::new());
    tokio::time::advance(WAIT).await;
    assert_eq!(diary.due(), [blog()].into());
    assert_eq!(after(&mut diary, Visit::Over), None);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(diary.due(), BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn the_pause_after_an_outage_doubles_up_to_a_bound() {
    let mut diary = Diary::default();
    let pauses: Vec<_> = (0..8).map(|_| after(&mut diary, Visit::Away).unwrap().as_millis()).collect();
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    after(&mut diary, Visit::Over);
    assert_eq!(after(&mut diary, Visit::Away), Some(Duration::from_millis(100)), "it was back in between");
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_for_during_a_visit_is_looked_at_once_more() {
    for (visit, expected) in [
        (Visit::Over, Duration::ZERO),
        (Visit::Waits, Duration::ZERO),
        // Asking a back end that is away at once again is no use.
        (Visit::Away, Duration::from_millis(100)),
    ] {
        let mut diary = Diary::default();
        assert!(diary.begin(&blog()));
        assert!(!diary.begin(&blog()), "one visit at a time");
        diary.end(blog(), visit);
        assert_eq!(due_in(&diary), Some(expected), "{visit:?}");
        assert!(diary.begin(&blog()));
        diary.end(blog(), Visit::Over);
        assert_eq!(due_in(&diary), None, "only once more");
    }
}
