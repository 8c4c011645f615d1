//! Many at once: one winner, nothing lost, nothing seen too early or by halves.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::join_all};
use tokio::{task::JoinSet, time::timeout};

use super::{StoreSubject, all, assert_conflict, commit, create, edit, get, key, put, scan, text};
use crate::port::{Expect, Order, Read, Revision, Scan, StoreError, Write};

/// How long anything may take that holds up nobody.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whoever asks after an answer sees what was answered, from any task.
pub async fn what_was_acknowledged_is_seen(s: StoreSubject) {
    for n in 0..50 {
        let name = format!("seen/{n}");
        let revision = create(&s, &[&name]).await;
        let (reader, wanted) = (Arc::clone(&s), name.clone());
        let read = tokio::spawn(async move { get(&reader, &wanted).await }).await.expect("it does not panic");
        assert_eq!(read.expect("it was acknowledged").revision, revision);
        let found = scan(&s, &Scan::prefix("seen/")).await;
        assert_eq!(found.len(), n + 1);
    }
}

async fn race(s: &StoreSubject, expect: Expect) -> String {
    let mut writers = JoinSet::new();
    for n in 0..16 {
        let s = Arc::clone(s);
        writers.spawn(async move {
            let text = format!("writer {n}");
            let own = put(&format!("own/{n}"), Expect::Absent, &text);
            (text.clone(), commit(&s, vec![own, put("prize", expect, &text)]).await)
        });
    }
    let (won, lost): (Vec<_>, Vec<_>) =
        writers.join_all().await.into_iter().partition(|(_, answer)| answer.is_ok());
    assert_eq!(won.len(), 1, "one writer wins: {won:?}");
    for (_, answer) in &lost {
        assert_conflict(answer, "prize");
    }
    let own = scan(s, &Scan::prefix("own/")).await;
    assert_eq!(own.len(), 1, "of the others nothing stays");
    won.into_iter().next().map(|(text, _)| text).unwrap_or_default()
}

/// Of several who replace what they all read, one succeeds and the others learn so.
pub async fn one_writer_wins(s: StoreSubject) {
    let read = create(&s, &["prize"]).await;
    let winner = race(&s, Expect::At(read)).await;
    assert_eq!(text(&s, "prize").await, Some(winner));
}

/// Of several who create the same record, one succeeds and the others learn so.
pub async fn one_creator_wins(s: StoreSubject) {
    let winner = race(&s, Expect::Absent).await;
    assert_eq!(text(&s, "prize").await, Some(winner));
}

/// Counting up by reading, replacing and trying again loses no step.
pub async fn no_increment_is_lost(s: StoreSubject) {
    commit(&s, vec![put("counter", Expect::Absent, "0")]).await.expect("it is new");
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        let s = Arc::clone(&s);
        writers.spawn(async move {
            for _ in 0..25 {
                loop {
                    let read = get(&s, "counter").await.expect("it exists");
                    let count: u32 = String::from_utf8_lossy(&read.data).parse().expect("it is a number");
                    let next = put("counter", Expect::At(read.revision), &(count + 1).to_string());
                    match commit(&s, vec![next]).await {
                        Ok(_) => break,
                        Err(StoreError::Conflict { .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
        });
    }
    writers.join_all().await;
    assert_eq!(text(&s, "counter").await.as_deref(), Some("200"));
}

/// Writers that have nothing in common do not disturb each other, and none shares a revision with another.
pub async fn disjoint_writers_all_succeed(s: StoreSubject) {
    let commits = (0..100).map(|n| {
        let s = Arc::clone(&s);
        async move { create(&s, &[&format!("a/{n}"), &format!("b/{n}")]).await }
    });
    let revisions: BTreeSet<Revision> = join_all(commits).await.into_iter().collect();
    assert_eq!(revisions.len(), 100);
    assert_eq!(all(&s).await.len(), 200);
}

/// A scan never shows one half of a batch.
pub async fn a_scan_shows_one_moment(s: StoreSubject) {
    let begin = ["pair/a", "pair/z"].map(|name| put(name, Expect::Absent, "begin"));
    let mut at = commit(&s, begin.to_vec()).await.expect("they are new");
    let writer = Arc::clone(&s);
    let writing = tokio::spawn(async move {
        for n in 0..200 {
            let text = n.to_string();
            let edits = ["pair/a", "pair/z"].map(|name| put(name, Expect::At(at), &text));
            at = commit(&writer, edits.to_vec()).await.expect("there is no other writer");
        }
    });
    loop {
        let last = writing.is_finished();
        for order in [Order::KeyAsc { after: None }, Order::Revision { after: None }] {
            let found = scan(&s, &Scan::prefix("pair/").order(order)).await;
            assert_eq!(found.len(), 2);
            assert_eq!((found[0].revision, &found[0].data), (found[1].revision, &found[1].data));
        }
        if last {
            break;
        }
    }
    writing.await.expect("it does not panic");
}

/// Who follows by revision while others write misses nothing: nothing appears behind a reader.
pub async fn revisions_become_visible_in_order(s: StoreSubject) {
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let s = Arc::clone(&s);
        writers.spawn(async move {
            for n in 0..50 {
                create(&s, &[&format!("event/{writer}/{n}"), &format!("event/{writer}/{n}+")]).await;
            }
        });
    }
    let follow = async {
        let mut seen: Vec<(Revision, String)> = Vec::new();
        while seen.len() < 400 {
            let after = seen.last().map(|(revision, name)| (*revision, key(name)));
            let page = scan(&s, &Scan::prefix("event/").order(Order::Revision { after }).limit(10)).await;
            seen.extend(page.into_iter().map(|record| (record.revision, record.key.as_str().to_owned())));
            tokio::task::yield_now().await;
        }
        seen
    };
    let seen = timeout(PATIENCE, follow).await.expect("the reader meets all that was written");
    assert!(seen.is_sorted());
    assert_eq!(seen.iter().map(|(_, name)| name).collect::<BTreeSet<_>>().len(), 400);
    writers.join_all().await;
}

/// A commit whose caller goes away applies as a whole or not at all, and the store goes on.
pub async fn a_dropped_commit_is_whole_or_nothing(s: StoreSubject) {
    for n in 0..60_u64 {
        let edits = (0..20).map(|m| put(&format!("dropped/{n}/{m}"), Expect::Absent, "x")).collect();
        let commit = commit(&s, edits);
        match n % 3 {
            0 => drop(commit),
            1 => drop(commit.now_or_never()),
            _ => drop(timeout(Duration::from_micros(n * 20), commit).await),
        }
    }
    let at = create(&s, &["after"]).await;
    commit(&s, vec![edit("after", Expect::At(at), Write::Delete)]).await.expect("the store goes on");
    for n in 0..60 {
        let found = scan(&s, &Scan::prefix(format!("dropped/{n}/"))).await;
        assert!(found.is_empty() || found.len() == 20, "{} of 20 records of batch {n}", found.len());
        assert!(found.is_empty() || n % 3 != 0, "a future that was never polled does nothing");
    }
}

/// Readers that go away leave the store as it was, and as quick.
pub async fn dropped_reads_hold_up_nobody(s: StoreSubject) {
    create(&s, &["a", "b"]).await;
    for _ in 0..200 {
        drop(s.read(&[Read::Get(key("a"))]).now_or_never());
        drop(s.read(&[Scan::prefix("").into(), Read::count("")]).now_or_never());
    }
    let reads = join_all((0..64).map(|_| get(&s, "a")));
    let found = timeout(PATIENCE, reads).await.expect("nobody is held up");
    assert!(found.iter().all(Option::is_some));
    assert_eq!(all(&s).await.len(), 2);
}
