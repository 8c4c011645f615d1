//! Reading ranges: order, prefixes, pages.

use super::{StoreSubject, commit, create, key, keys, put, scan};
use crate::port::{Expect, Order, Revision, Scan};

/// Keys in which every order but that of bytes goes wrong: case, hyphens, scripts, and characters that UTF-16
/// puts before others.
const TRAPS: [&str; 16] = [
    "Z",
    "a",
    "a b",
    "a%",
    "a-b",
    "a/",
    "a/b",
    "a/b/c",
    "a0",
    "a_",
    "ab",
    "a\u{e4}",
    "a\u{ffee}",
    "a\u{10ffff}",
    "b",
    "\u{e9}",
];

fn up(prefix: &str, after: Option<&str>) -> Scan {
    Scan::prefix(prefix).order(Order::KeyAsc { after: after.map(key) })
}

fn down(prefix: &str, after: Option<&str>) -> Scan {
    Scan::prefix(prefix).order(Order::KeyDesc { after: after.map(key) })
}

fn by_revision(prefix: &str, after: Option<(Revision, &str)>) -> Scan {
    Scan::prefix(prefix).order(Order::Revision { after: after.map(|(revision, k)| (revision, key(k))) })
}

/// Keys stand in the order of their bytes, whatever a locale says.
pub async fn keys_compare_as_bytes(s: StoreSubject) {
    let mut shuffled = TRAPS;
    shuffled.reverse();
    shuffled.swap(2, 11);
    create(&s, &shuffled).await;
    let mut sorted = TRAPS;
    sorted.sort_by_key(|text| text.as_bytes());
    assert_eq!(keys(&s, &up("", None)).await, sorted);
    sorted.reverse();
    assert_eq!(keys(&s, &down("", None)).await, sorted);
}

/// No character of a prefix is a pattern, and a neighbour with a longer name is not below it.
pub async fn a_prefix_is_taken_literally(s: StoreSubject) {
    let all =
        ["app/a%/x", "app/a*/x", "app/a-b/x", "app/a/x", "app/a/y", "app/a[b]/x", "app/a_b/x", "app/axb/x"];
    create(&s, &all).await;
    for (prefix, found) in [
        ("app/a/", &["app/a/x", "app/a/y"][..]),
        ("app/a_b/", &["app/a_b/x"]),
        ("app/a%/", &["app/a%/x"]),
        ("app/a*/", &["app/a*/x"]),
        ("app/a[b]/", &["app/a[b]/x"]),
        ("app/A/", &[]),
        ("app/a/x/", &[]),
    ] {
        assert_eq!(keys(&s, &up(prefix, None)).await, found, "{prefix}");
        let reversed: Vec<&str> = found.iter().rev().copied().collect();
        assert_eq!(keys(&s, &down(prefix, None)).await, reversed, "{prefix}");
        assert_eq!(keys(&s, &by_revision(prefix, None)).await, found, "{prefix}");
    }
}

/// Nor does a prefix have to end somewhere in particular: each finds what starts with it, in each order.
pub async fn every_text_can_be_a_prefix(s: StoreSubject) {
    create(&s, &TRAPS).await;
    for prefix in TRAPS.iter().copied().chain(["", "c", "\u{10ffff}", "a\u{10ffff}\u{10ffff}", "a\u{d7ff}"]) {
        let mut found: Vec<&str> = TRAPS.iter().copied().filter(|text| text.starts_with(prefix)).collect();
        found.sort_by_key(|text| text.as_bytes());
        assert_eq!(keys(&s, &up(prefix, None)).await, found, "{prefix:?}");
        assert_eq!(keys(&s, &by_revision(prefix, None)).await, found, "{prefix:?}");
        found.reverse();
        assert_eq!(keys(&s, &down(prefix, None)).await, found, "{prefix:?}");
    }
}

/// A scan gives the first records of its order, as many as it is limited to.
pub async fn scans_stop_at_their_limit(s: StoreSubject) {
    create(&s, &["a/1", "a/2", "a/3", "b/1"]).await;
    assert!(keys(&s, &up("a/", None).limit(0)).await.is_empty());
    assert_eq!(keys(&s, &up("a/", None).limit(2)).await, ["a/1", "a/2"]);
    assert_eq!(keys(&s, &down("a/", None).limit(2)).await, ["a/3", "a/2"]);
    assert_eq!(keys(&s, &by_revision("a/", None).limit(1)).await, ["a/1"]);
    assert_eq!(keys(&s, &up("a/", None).limit(9)).await, ["a/1", "a/2", "a/3"]);
}

/// `after` need not exist, nor lie within the prefix.
pub async fn scans_go_on_after_a_key(s: StoreSubject) {
    create(&s, &["a/1", "a/3", "b/1", "b/3", "b/5", "c/1"]).await;
    for (after, found) in [
        ("b/1", &["b/3", "b/5"][..]),
        ("b/2", &["b/3", "b/5"]),
        ("b/3\0", &["b/5"]),
        ("b/5", &[]),
        ("b", &["b/1", "b/3", "b/5"]),
        ("a/2", &["b/1", "b/3", "b/5"]),
        ("c/0", &[]),
    ] {
        assert_eq!(keys(&s, &up("b/", Some(after))).await, found, "up after {after:?}");
    }
    for (after, found) in [
        ("b/5", &["b/3", "b/1"][..]),
        ("b/4", &["b/3", "b/1"]),
        ("b/3\0", &["b/3", "b/1"]),
        ("b/1", &[]),
        ("b/", &[]),
        ("c/9", &["b/5", "b/3", "b/1"]),
        ("a/2", &[]),
    ] {
        assert_eq!(keys(&s, &down("b/", Some(after))).await, found, "down after {after:?}");
    }
}

/// Who goes on after the last key of a page meets each record once, in both directions.
pub async fn pages_show_each_record_once(s: StoreSubject) {
    let names: Vec<String> = (0..50).map(|n| format!("release/blog/{n:010}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    create(&s, &names).await;
    create(&s, &["release/blog-2/0000000001", "release/bloh/0000000001", "outcome/blog/0000000001"]).await;
    let (mut upwards, mut downwards): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for _ in 0..names.len() {
        let after = upwards.last().map(String::as_str);
        upwards.extend(keys(&s, &up("release/blog/", after).limit(7)).await);
        let after = downwards.last().map(String::as_str);
        downwards.extend(keys(&s, &down("release/blog/", after).limit(7)).await);
    }
    assert_eq!(upwards, names);
    downwards.reverse();
    assert_eq!(downwards, names);
}

/// By revision, records stand in the order in which they were written last; those of one batch by their keys.
pub async fn the_order_of_revisions_is_that_of_writes(s: StoreSubject) {
    let first = create(&s, &["event/b", "event/a", "other"]).await;
    create(&s, &["event/c"]).await;
    let moved = commit(&s, vec![put("event/a", Expect::At(first), "again")]).await.expect("it is as read");
    let found = scan(&s, &by_revision("event/", None)).await;
    let order: Vec<&str> = found.iter().map(|record| record.key.as_str()).collect();
    assert_eq!(order, ["event/b", "event/c", "event/a"]);
    assert_eq!(found[2].revision, moved);
    for (after, rest) in [
        ((first, "event/a"), &["event/b", "event/c", "event/a"][..]),
        ((first, "event/b"), &["event/c", "event/a"]),
        ((first, "zzz"), &["event/c", "event/a"]),
        ((moved, ""), &["event/a"]),
        ((moved, "event/a"), &[]),
    ] {
        assert_eq!(keys(&s, &by_revision("event/", Some(after))).await, rest, "after {after:?}");
    }
}

/// Who follows by revision meets each record once, also where a page ends within a batch.
pub async fn pages_by_revision_show_each_record_once(s: StoreSubject) {
    let mut expected = Vec::new();
    for batch in 0..8 {
        let names: Vec<String> = (0..5).map(|n| format!("event/-/{batch}-{n}")).collect();
        create(&s, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        create(&s, &[&format!("noise/{batch}")]).await;
        expected.extend(names);
    }
    let mut seen: Vec<(Revision, String)> = Vec::new();
    for _ in 0..expected.len() {
        let after = seen.last().map(|(revision, name)| (*revision, name.as_str()));
        let page = scan(&s, &by_revision("event/", after).limit(3)).await;
        seen.extend(page.into_iter().map(|record| (record.revision, record.key.as_str().to_owned())));
    }
    assert_eq!(seen.into_iter().map(|(_, name)| name).collect::<Vec<_>>(), expected);
}
