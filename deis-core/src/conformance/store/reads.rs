//! One call that reads many things: answers in order, parts of ranges, counts, bounds.

use bytes::Bytes;

use super::{StoreSubject, all, commit, count, create, edit, key, keys, put, read, records, scan};
use crate::port::{
    Expect, Found, MAX_ANSWER_BYTES, MAX_GETS, MAX_SCANS, Order, Read, Scan, StoreError, Write,
};

/// All orders, from their beginning.
fn orders() -> [Order; 3] {
    [Order::KeyAsc { after: None }, Order::NEWEST_FIRST, Order::Revision { after: None }]
}

/// Each read has its answer at its own place, what is not there too, and what was asked for twice.
pub async fn reads_are_answered_in_their_order(s: StoreSubject) {
    create(&s, &["a/1", "a/2", "b/1"]).await;
    assert!(read(&s, &[]).await.found.is_empty());
    let reads = [
        Read::Get(key("b/1")),
        Read::count("a/"),
        Scan::prefix("a/").order(Order::NEWEST_FIRST).into(),
        Read::Get(key("none")),
        Read::Get(key("a/1")),
        Scan::prefix("c/").into(),
        Read::Get(key("b/1")),
        Read::count("a/"),
        Scan::prefix("a/").order(Order::NEWEST_FIRST).into(),
    ];
    let found = read(&s, &reads).await.found;
    let names = |n: usize| records(&found[n]).iter().map(|r| r.key.as_str()).collect::<Vec<_>>();
    assert_eq!(names(0), ["b/1"]);
    assert_eq!(found[1], Found::Count(2));
    assert_eq!(names(2), ["a/2", "a/1"]);
    assert!(names(3).is_empty());
    assert_eq!(names(4), ["a/1"]);
    assert!(names(5).is_empty());
    assert_eq!((&found[6], &found[7], &found[8]), (&found[0], &found[1], &found[2]));
}

/// What is skipped is left out before the limit counts, in every order, and after where the scan goes on.
pub async fn scans_leave_out_what_they_skip(s: StoreSubject) {
    let first = create(&s, &["a/1", "a/3", "a/5", "b/1"]).await;
    create(&s, &["a/2", "a/4"]).await;
    for order in orders() {
        let whole = keys(&s, &Scan::prefix("a/").order(order.clone())).await;
        assert_eq!(whole.len(), 5);
        for skip in 0..7 {
            for limit in [0, 1, 2, 9] {
                let part = keys(&s, &Scan::prefix("a/").order(order.clone()).skip(skip).limit(limit)).await;
                let wanted: Vec<_> = whole.iter().skip(skip).take(limit).cloned().collect();
                assert_eq!(part, wanted, "{order:?} skip {skip} limit {limit}");
            }
        }
    }
    for (order, found) in [
        (Order::KeyAsc { after: Some(key("a/2")) }, "a/4"),
        (Order::KeyDesc { after: Some(key("a/4")) }, "a/2"),
        (Order::Revision { after: Some((first, key("a/3"))) }, "a/2"),
    ] {
        let part = Scan::prefix("a/").order(order.clone()).skip(1).limit(1);
        assert_eq!(keys(&s, &part).await, [found], "{order:?}");
    }
}

/// A scan for keys brings the same records in the same order, with their revisions and without their data.
pub async fn a_scan_for_keys_brings_no_data(s: StoreSubject) {
    create(&s, &["a/1", "a/2"]).await;
    create(&s, &["a/0"]).await;
    for order in orders() {
        let mut whole = scan(&s, &Scan::prefix("a/").order(order.clone())).await;
        assert!(whole.iter().all(|record| !record.data.is_empty()));
        for record in &mut whole {
            record.data = Bytes::new();
        }
        assert_eq!(scan(&s, &Scan::prefix("a/").order(order).keys_only()).await, whole);
    }
}

/// A count is the length of the scan, whichever prefix.
pub async fn counts_are_those_of_scans(s: StoreSubject) {
    create(&s, &["a", "a/", "a/1", "a/b/1", "a/b/2", "a//x", "ab/1", "A/1", "a%/1", "\u{10ffff}/1"]).await;
    for prefix in ["", "a", "a/", "a/b", "a/b/", "a//", "ab/", "A/", "a%/", "b/", "\u{10ffff}", "\u{10ffff}/"]
    {
        let found = keys(&s, &Scan::prefix(prefix)).await.len();
        assert_eq!(count(&s, prefix).await, found as u64, "{prefix:?}");
    }
}

/// Counts rise with what is created and fall with what is deleted, and nothing else moves them.
pub async fn counts_follow_what_is_written(s: StoreSubject) {
    let at = create(&s, &["a/b/1", "a/b/2", "a/c/1"]).await;
    let counts = async || [count(&s, "a/").await, count(&s, "a/b/").await, count(&s, "a").await];
    assert_eq!(counts().await, [3, 2, 3]);
    commit(&s, vec![put("a/b/1", Expect::At(at), "new"), put("a/b/2", Expect::Present, "new")])
        .await
        .expect("they exist");
    commit(&s, vec![edit("a/b/3", Expect::Absent, Write::Delete)]).await.expect("it is absent");
    commit(&s, vec![edit("a/c/1", Expect::Present, Write::Keep)]).await.expect("it exists");
    let refused = vec![
        put("a/b/4", Expect::Absent, "4"),
        edit("a/b/2", Expect::Present, Write::Delete),
        edit("a/c/1", Expect::Absent, Write::Keep),
    ];
    assert!(commit(&s, refused).await.is_err());
    assert_eq!(counts().await, [3, 2, 3]);
    let swap = vec![edit("a/b/2", Expect::Present, Write::Delete), put("a/c/2", Expect::Absent, "2")];
    commit(&s, swap).await.expect("they are as expected");
    assert_eq!(counts().await, [3, 1, 3]);
    let rest = ["a/b/1", "a/c/1", "a/c/2"].map(|name| edit(name, Expect::Present, Write::Delete));
    commit(&s, rest.to_vec()).await.expect("they exist");
    assert_eq!(counts().await, [0, 0, 0]);
}

/// As many reads as a call may have are answered; one more is refused, whatever it would find.
pub async fn many_reads_are_taken_and_more_refused(s: StoreSubject) {
    create(&s, &["a/1"]).await;
    let gets = |n| vec![Read::Get(key("a/1")); n];
    let scans = |n| {
        let kinds = [Scan::prefix("a/").into(), Read::count("a/")];
        kinds.into_iter().cycle().take(n).collect::<Vec<Read>>()
    };
    let most = [scans(MAX_SCANS), gets(MAX_GETS)].concat();
    let found = read(&s, &most).await.found;
    assert!(found.iter().all(|found| match found {
        Found::Records(records) => records.len() == 1,
        Found::Count(count) => *count == 1,
    }));
    for more in [scans(MAX_SCANS + 1), gets(MAX_GETS + 1)] {
        let answer = s.read(&more).await;
        assert!(matches!(answer, Err(StoreError::TooLarge(_))), "{answer:?}");
    }
}

/// An answer that is too large is refused whole; its keys, and its parts, can still be read.
pub async fn an_answer_that_is_too_large_is_refused(s: StoreSubject) {
    const EIGHTH: usize = MAX_ANSWER_BYTES / 8;
    for n in 0..8 {
        let data = Write::Put(Bytes::from(vec![b'x'; EIGHTH - 100]));
        commit(&s, vec![edit(&format!("a/{n}"), Expect::Absent, data)]).await.expect("it is new");
    }
    assert_eq!(all(&s).await.len(), 8, "what is within the bound is answered");
    commit(&s, vec![edit("a/8", Expect::Absent, Write::Put(Bytes::from(vec![b'x'; 1000])))])
        .await
        .expect("it is new");
    let twice = [Scan::prefix("").limit(5).into(), Scan::prefix("").limit(4).into()];
    for order in orders() {
        let answer = s.read(&[Scan::prefix("").order(order).into()]).await;
        assert!(matches!(answer, Err(StoreError::TooLarge(_))), "{:?}", answer.map(|a| a.at));
    }
    let answer = s.read(&twice).await;
    assert!(matches!(answer, Err(StoreError::TooLarge(_))), "{:?}", answer.map(|a| a.at));
    assert_eq!(scan(&s, &Scan::prefix("").keys_only()).await.len(), 9);
    assert_eq!(scan(&s, &Scan::prefix("").skip(7)).await.len(), 2);
}
