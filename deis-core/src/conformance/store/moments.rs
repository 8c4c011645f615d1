//! All that a call answers is from one moment, while others write.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{StoreSubject, commit, create, edit, key, put, read, records};
use crate::port::{Expect, Found, Order, Read, Record, Revision, Scan, Write};

/// Lives of an app that a writer goes through, or batches that it writes.
const ROUNDS: u32 = 150;

/// Reads over and over until the writer has ended, and once more.
async fn watch(s: &StoreSubject, reads: &[Read], writer: JoinHandle<()>, look: impl Fn(Revision, &[Found])) {
    loop {
        let last = writer.is_finished();
        let reading = read(s, reads).await;
        look(reading.at, &reading.found);
        if last {
            break;
        }
    }
    writer.await.expect("it does not panic");
}

/// An app goes and another of its name comes, over and over: whoever reads its records sees those of one life, or
/// none at all, be they read one by one, as a range, by number or by revision.
pub async fn a_reading_never_mixes_two_lives(s: StoreSubject) {
    const KINDS: [&str; 4] = ["app/blog", "formation/blog", "head/blog", "release/blog/1"];
    let writer = Arc::clone(&s);
    let writing = tokio::spawn(async move {
        for life in 0..ROUNDS {
            let text = life.to_string();
            let begin = KINDS.map(|kind| put(kind, Expect::Absent, &text));
            commit(&writer, begin.to_vec()).await.expect("the name is free");
            let end = KINDS.map(|kind| edit(kind, Expect::Present, Write::Delete));
            commit(&writer, end.to_vec()).await.expect("there is no other writer");
        }
    });
    let mut reads: Vec<Read> = KINDS.map(|kind| Read::Get(key(kind))).into();
    reads.extend([
        Scan::prefix("release/blog/").into(),
        Scan::prefix("").order(Order::NEWEST_FIRST).into(),
        Scan::prefix("").order(Order::Revision { after: None }).into(),
        Read::count("release/blog/"),
        Read::count(""),
        Read::Get(key(KINDS[0])),
    ]);
    watch(&s, &reads, writing, |_, found| {
        let first = records(&found[0]).first().map(life);
        let there = u64::from(first.is_some());
        for (read, found) in reads.iter().zip(found) {
            match (read, found) {
                (_, Found::Records(records)) => {
                    let same = records.iter().all(|record| Some(life(record)) == first);
                    assert!(same && records.is_empty() == first.is_none(), "{read:?}: {records:?}");
                }
                (Read::Count { prefix }, Found::Count(count)) => {
                    let whole = if prefix.is_empty() { 4 } else { 1 };
                    assert_eq!(*count, there * whole, "{read:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
}

fn life(record: &Record) -> (Revision, Vec<u8>) {
    (record.revision, record.data.to_vec())
}

/// What a batch moves from one place to another is never in both, nor in none.
pub async fn a_reading_never_shows_half_a_batch(s: StoreSubject) {
    create(&s, &["left/x"]).await;
    let writer = Arc::clone(&s);
    let writing = tokio::spawn(async move {
        for n in 0..ROUNDS {
            let (from, to) = if n % 2 == 0 { ("left/x", "right/x") } else { ("right/x", "left/x") };
            let edits = vec![edit(from, Expect::Present, Write::Delete), put(to, Expect::Absent, "x")];
            commit(&writer, edits).await.expect("there is no other writer");
        }
    });
    let reads = [
        Read::Get(key("left/x")),
        Read::count("left/"),
        Scan::prefix("left/").keys_only().into(),
        Read::count("right/"),
        Scan::prefix("right/").into(),
        Read::Get(key("right/x")),
    ];
    watch(&s, &reads, writing, |_, found| {
        let counts: Vec<u64> = found
            .iter()
            .map(|found| match found {
                Found::Records(records) => records.len() as u64,
                Found::Count(count) => *count,
            })
            .collect();
        let right = counts[5];
        assert!(counts == [1 - right, 1 - right, 1 - right, right, right, right], "{counts:?}");
    })
    .await;
}

/// The moment of a reading includes all that is in it and all that was acknowledged before, and never goes back.
pub async fn a_reading_says_which_moment_it_is(s: StoreSubject) {
    assert_eq!(read(&s, &[]).await.at, read(&s, &[Read::count("")]).await.at);
    let mut at = read(&s, &[]).await.at;
    for n in 0..20 {
        let written = create(&s, &[&format!("a/{n}")]).await;
        let reading = read(&s, &[Scan::prefix("a/").into()]).await;
        assert!(reading.at >= written && reading.at > at, "{:?} after {written:?}", reading.at);
        assert!(records(&reading.found[0]).iter().all(|record| record.revision <= reading.at));
        at = reading.at;
        // A batch of nothing is a moment as well, whoever answers the next call.
        let written = commit(&s, Vec::new()).await.expect("a batch of nothing is taken");
        let record = Read::Get(key(&format!("a/{n}")));
        at = at.max(read(&s, std::slice::from_ref(&record)).await.at);
        assert!(at >= written && read(&s, &[record]).await.at >= at, "{at:?} after {written:?}");
    }
    let writer = Arc::clone(&s);
    let writing = tokio::spawn(async move {
        for n in 0..ROUNDS {
            create(&writer, &[&format!("b/{n:04}")]).await;
        }
    });
    let newest = Scan::prefix("b/").order(Order::NEWEST_FIRST).limit(1);
    watch(&s, &[newest.into(), Read::count("b/")], writing, |at, found| {
        let newest = records(&found[0]).first().map_or(Revision::default(), |record| record.revision);
        assert!(newest <= at, "{newest:?} is in a reading of {at:?}");
    })
    .await;
}

/// Whoever has read everything and follows the revisions after that moment meets each later record once.
pub async fn a_follower_goes_on_from_a_reading_without_a_gap(s: StoreSubject) {
    let writer = Arc::clone(&s);
    let writing = tokio::spawn(async move {
        for n in 0..ROUNDS {
            create(&writer, &[&format!("event/{n:04}/a"), &format!("event/{n:04}/b")]).await;
        }
    });
    let reading = loop {
        let reading = read(&s, &[Scan::prefix("event/").into()]).await;
        if records(&reading.found[0]).len() >= 20 {
            break reading;
        }
        tokio::task::yield_now().await;
    };
    let mut seen: Vec<String> = names(records(&reading.found[0]));
    let mut after = (Revision(reading.at.0 + 1), key(""));
    while seen.len() < 2 * ROUNDS as usize {
        let next = Scan::prefix("event/").order(Order::Revision { after: Some(after.clone()) }).limit(7);
        let reading = read(&s, &[next.into()]).await;
        let part = records(&reading.found[0]);
        if let Some(last) = part.last() {
            after = (last.revision, last.key.clone());
        }
        seen.extend(names(part));
        tokio::task::yield_now().await;
    }
    writing.await.expect("it does not panic");
    assert!(seen.is_sorted(), "in the order of their batches");
    seen.dedup();
    assert_eq!(seen.len(), 2 * ROUNDS as usize, "each once");
}

fn names(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.key.as_str().to_owned()).collect()
}
