//! One batch: what it demands, what it writes, and that it is whole.

use bytes::Bytes;

use super::{StoreSubject, all, assert_conflict, commit, create, edit, get, put, text};
use crate::port::{Expect, Oversize, Revision, StoreError, Write};

const MEBIBYTE: usize = 1 << 20;

/// Values are bytes: none, all, many.
pub async fn values_come_back_as_they_were(s: StoreSubject) {
    let values = [
        ("empty", Bytes::new()),
        ("bytes", (0..=u8::MAX).collect()),
        ("large", Bytes::from(vec![0xa5; MEBIBYTE])),
    ];
    let edits =
        values.iter().map(|(name, data)| edit(name, Expect::Absent, Write::Put(data.clone()))).collect();
    commit(&s, edits).await.expect("they are new");
    for (name, data) in values {
        assert_eq!(get(&s, name).await.expect("it was written").data, data, "{name}");
    }
    assert_eq!(get(&s, "none").await, None);
}

/// All that a batch puts carries the revision that its commit returned.
pub async fn a_batch_has_one_revision(s: StoreSubject) {
    let first = create(&s, &["a", "b"]).await;
    let edits = vec![put("a", Expect::At(first), "new"), put("c", Expect::Absent, "c")];
    let second = commit(&s, edits).await.expect("it is as read");
    for (name, revision) in [("a", second), ("b", first), ("c", second)] {
        assert_eq!(get(&s, name).await.expect("it exists").revision, revision, "{name}");
    }
    assert_eq!(text(&s, "a").await.as_deref(), Some("new"));
}

/// There is one number for the whole store, above zero, and it rises with every commit.
pub async fn revisions_rise(s: StoreSubject) {
    let mut last = Revision::default();
    for n in 0..20 {
        let next = create(&s, &[&format!("{}/{n}", n % 3)]).await;
        assert!(next > last, "{next:?} comes after {last:?}");
        last = next;
    }
}

/// Whether a batch applies is decided by what exists and at which revision, whatever it writes.
pub async fn expectations_decide(s: StoreSubject) {
    let at = create(&s, &["there"]).await;
    let (older, newer) = (Revision(at.0 - 1), Revision(at.0 + 1));
    for write in [Write::Keep, Write::Put(Bytes::from_static(b"x")), Write::Delete] {
        for expect in [Expect::Absent, Expect::At(older), Expect::At(newer)] {
            assert_conflict(&commit(&s, vec![edit("there", expect, write.clone())]).await, "there");
        }
        for expect in [Expect::Present, Expect::At(at), Expect::At(Revision(0))] {
            assert_conflict(&commit(&s, vec![edit("gone", expect, write.clone())]).await, "gone");
        }
    }
    assert_eq!(all(&s).await.len(), 1, "no refused batch left anything");
    commit(&s, vec![put("there", Expect::Present, "1")]).await.expect("it exists");
    let at = get(&s, "there").await.expect("it exists").revision;
    commit(&s, vec![put("there", Expect::At(at), "2")]).await.expect("it is as read");
    assert_eq!(text(&s, "there").await.as_deref(), Some("2"));
    commit(&s, vec![edit("there", Expect::Present, Write::Delete)]).await.expect("it exists");
    assert_eq!(get(&s, "there").await, None);
    create(&s, &["there"]).await;
}

/// One expectation that does not hold stops the whole batch; the answer names the first such record.
pub async fn a_conflict_names_its_record_and_changes_nothing(s: StoreSubject) {
    let at = create(&s, &["a", "b", "c"]).await;
    let before = all(&s).await;
    let refused = vec![
        put("a", Expect::At(at), "changed"),
        edit("b", Expect::Present, Write::Delete),
        put("new", Expect::Absent, "new"),
        put("c", Expect::Absent, "not absent"),
        edit("missing", Expect::Present, Write::Keep),
    ];
    assert_conflict(&commit(&s, refused).await, "c");
    assert_eq!(all(&s).await, before);
    let next = create(&s, &["d"]).await;
    assert!(next > at);
}

/// A guard decides, and leaves its record as it is: bytes, revision, absence.
pub async fn a_guard_changes_nothing(s: StoreSubject) {
    let at = create(&s, &["guard"]).await;
    let before = get(&s, "guard").await;
    let edits = vec![
        edit("guard", Expect::At(at), Write::Keep),
        edit("free", Expect::Absent, Write::Keep),
        put("x", Expect::Absent, "x"),
    ];
    let next = commit(&s, edits).await.expect("the guards hold");
    assert_eq!(get(&s, "guard").await, before);
    assert_eq!(get(&s, "free").await, None);
    assert_eq!(get(&s, "x").await.expect("it was written").revision, next);
    let edits = vec![edit("guard", Expect::Absent, Write::Keep), put("y", Expect::Absent, "y")];
    assert_conflict(&commit(&s, edits).await, "guard");
    assert_eq!(get(&s, "y").await, None);
}

/// A record that went and came back, with the same bytes, is not the one that was read.
pub async fn a_revision_never_comes_back(s: StoreSubject) {
    let first = create(&s, &["a"]).await;
    commit(&s, vec![edit("a", Expect::At(first), Write::Delete)]).await.expect("it is as read");
    let second = create(&s, &["a"]).await;
    assert!(second > first);
    assert_conflict(&commit(&s, vec![put("a", Expect::At(first), "late")]).await, "a");
    let third = commit(&s, vec![put("a", Expect::At(second), "a")]).await.expect("it is as read");
    assert_conflict(&commit(&s, vec![put("a", Expect::At(second), "late")]).await, "a");
    assert_eq!(get(&s, "a").await.expect("it exists").revision, third);
}

/// A batch that names a key twice is refused: which of the two would hold?
pub async fn a_key_stands_once_in_a_batch(s: StoreSubject) {
    let edits = vec![
        put("a", Expect::Absent, "1"),
        put("b", Expect::Absent, "2"),
        edit("a", Expect::Present, Write::Delete),
    ];
    match commit(&s, edits).await {
        Err(StoreError::InvalidBatch { key }) => assert_eq!(key.as_str(), "a"),
        other => panic!("the batch is invalid, not {other:?}"),
    }
    assert!(all(&s).await.is_empty());
}

/// A thousand edits work, and eight mebibytes, in one value or in many.
pub async fn large_batches_are_taken(s: StoreSubject) {
    let names: Vec<String> = (0..1000).map(|n| format!("many/{n:04}")).collect();
    let revision = create(&s, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let eighth = Bytes::from(vec![b'x'; MEBIBYTE]);
    let edits = (0..8).map(|n| edit(&format!("eighth/{n}"), Expect::Absent, Write::Put(eighth.clone())));
    commit(&s, edits.collect()).await.expect("8 MiB in 8 records are taken");
    let whole = Write::Put(Bytes::from(vec![b'y'; 8 * MEBIBYTE]));
    commit(&s, vec![edit("whole", Expect::Absent, whole)]).await.expect("8 MiB in a record are taken");
    assert_eq!(all(&s).await.len(), 1009);
    let edits = names.iter().map(|name| edit(name, Expect::At(revision), Write::Delete)).collect();
    commit(&s, edits).await.expect("1000 deletions are taken");
    assert_eq!(all(&s).await.len(), 9);
}

/// What is more than a store takes it refuses as `TooLarge`, with the size, before it does anything.
pub async fn a_batch_that_is_too_large_changes_nothing(s: StoreSubject) {
    let count = 200_000;
    let edits = (0..count).map(|n| put(&format!("many/{n}"), Expect::Absent, "1234")).collect();
    match commit(&s, edits).await {
        Ok(_) => assert_eq!(all(&s).await.len(), count, "what was taken is there"),
        Err(StoreError::TooLarge(Oversize::Batch { edits, bytes })) => {
            assert_eq!((edits, bytes), (count, 4 * count));
            assert!(all(&s).await.is_empty());
        }
        Err(other) => panic!("it is taken or too large, not {other:?}"),
    }
    create(&s, &["after"]).await;
}
