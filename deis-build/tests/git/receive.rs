//! Pushes, one by one.

use std::sync::atomic::AtomicBool;

use deis_build::git::{Limits, Oid, Received};

use super::support::{NULL, Sides, packs};

const MAIN: &str = "refs/heads/main";

/// A push of a whole that must be refused as a whole, leaving nothing.
fn refused(sides: &Sides, received: &Received, reason: &str) {
    let error = received.unpack_error.as_deref().unwrap_or_default();
    assert!(error.contains(reason), "{error:?} should say {reason:?}");
    assert!(received.accepted().is_empty());
    let report = String::from_utf8_lossy(&received.report()).into_owned();
    assert!(report.contains(&format!("unpack {error}")) && report.contains("unpacker error"), "{report}");
    assert_eq!(packs(sides.server.path()), 0);
    sides.is_clean();
}

#[test]
fn a_new_branch_is_taken_and_read_back() {
    let sides = Sides::new();
    let tip = sides.commit("index.html", b"hello");
    let received = sides.push(&[(NULL, &tip, MAIN)], &sides.pack(&tip, None));
    assert_eq!(received.deploys().map(|(_, id)| id.to_string()), Some(tip.clone()));
    assert_eq!(sides.server.resolve(MAIN).unwrap(), None, "no ref moves by itself");
    assert!(sides.server.update_refs(&received.accepted(), false).unwrap().is_empty());
    sides.server.adopt_head(MAIN).unwrap();
    assert_eq!(sides.server.resolve("HEAD").unwrap().map(|id| id.to_string()), Some(tip.clone()));
    let commit = Oid::new(&tip).unwrap();
    assert_eq!(sides.server.root_file(&commit, "index.html", 10).unwrap().as_deref(), Some(&b"hello"[..]));
    let out = tempfile::tempdir().unwrap();
    assert_eq!(sides.server.export(&commit, out.path()).unwrap().files, 1);
    sides.is_clean();
}

#[test]
fn damaged_packs_are_refused() {
    let sides = Sides::new();
    let tip = sides.commit("file", &b"some content ".repeat(500));
    let good = sides.pack(&tip, None);
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    let mut lying = good.clone();
    lying[11] += 1;
    for pack in [&flipped, &good[..good.len() - 30], &lying, &b"not a pack at all"[..]] {
        refused(&sides, &sides.push(&[(NULL, &tip, MAIN)], pack), "damaged or incomplete");
    }
    // The same commit can be pushed at once.
    sides.push_branch(&tip);
}

#[test]
fn a_pack_that_lacks_something_is_refused() {
    let sides = Sides::new();
    let first = sides.commit("a", b"1");
    let second = sides.commit("b", b"2");
    let thin = sides.pack(&second, Some(&first));
    refused(&sides, &sides.push(&[(NULL, &second, MAIN)], &thin), "missing necessary objects");
    let received = sides.push(&[(NULL, &second, MAIN)], &sides.pack(&first, None));
    assert_eq!(received.commands[0].refused.as_deref(), Some("missing necessary objects"));
}

#[test]
fn forbidden_names_in_trees_are_refused() {
    let sides = Sides::new();
    let blob = sides.git_with(&["hash-object", "-w", "--stdin"], b"x");
    for name in ["..", ".git", ".GIT", "a/b", "."] {
        let mut tree = format!("100644 {name}\0").into_bytes();
        tree.extend((0..20).map(|i| u8::from_str_radix(&blob[i * 2..i * 2 + 2], 16).unwrap()));
        let tree = sides.git_with(&["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &tree);
        let commit = format!("tree {tree}\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\nbad\n");
        let commit = sides.git_with(&["hash-object", "-t", "commit", "-w", "--stdin"], commit.as_bytes());
        let pack = sides.pack_of(&[&blob, &tree, &commit]);
        refused(&sides, &sides.push(&[(NULL, &commit, MAIN)], &pack), "forbidden name");
    }
}

#[test]
fn limits_hold() {
    let sides = Sides::new();
    let tip = sides.commit("big", &vec![0; 3 << 20]);
    let pack = sides.pack(&tip, None);
    let small = Limits { object_bytes: 1 << 20, ..Limits::default() };
    refused(
        &sides,
        &sides.push_with(&[(NULL, &tip, MAIN)], "report-status", &pack, &small),
        "larger than 1 MiB",
    );
    let few = Limits { objects: 2, ..Limits::default() };
    refused(
        &sides,
        &sides.push_with(&[(NULL, &tip, MAIN)], "report-status", &pack, &few),
        "more than 2 objects",
    );
    let short = Limits { pack_bytes: 1000, ..Limits::default() };
    let received = sides.push_with(&[(NULL, &tip, MAIN)], "report-status", &pack, &short);
    assert!(received.unpack_error.is_some() && received.accepted().is_empty());
    sides.is_clean();
}

#[test]
fn refs_move_only_from_where_they_were() {
    let sides = Sides::new();
    let first = sides.commit("a", b"1");
    sides.push_branch(&first);
    let second = sides.commit("b", b"2");
    let pack = sides.pack(&second, Some(&first));
    let stale = sides.push(&[(NULL, &second, MAIN)], &pack);
    assert_eq!(stale.commands[0].refused.as_deref(), Some("fetch first"));
    let one = sides.push(&[(&first, &second, MAIN)], &pack);
    let other = one.accepted();
    assert!(sides.server.update_refs(&one.accepted(), false).unwrap().is_empty());
    // Finishing the same push again, as after a restart, is fine; another one from the same place is not.
    assert!(sides.server.update_refs(&other, false).unwrap().is_empty());
    let mut late = other[0].clone();
    late.new = Some(first.clone());
    late.old = Some(first.clone());
    assert_eq!(sides.server.update_refs(&[late], false).unwrap().len(), 1);
    assert_eq!(sides.server.resolve(MAIN).unwrap().map(|i| i.to_string()), Some(second));
    sides.is_clean();
}

#[test]
fn deletions_tags_and_odd_names() {
    let sides = Sides::new();
    let tip = sides.commit("a", b"1");
    sides.push_branch(&tip);
    sides.git(&["tag", "-a", "-m", "one", "v1"]);
    let tag = sides.git(&["rev-parse", "v1"]);
    let received = sides.push(&[(NULL, &tag, "refs/tags/v1")], &sides.pack_of(&[&tag]));
    assert!(received.deploys().is_none() && received.accepted().len() == 1);
    let branch = sides.push(&[(NULL, &tag, "refs/heads/tagged")], &sides.pack_of(&[&tag]));
    assert_eq!(branch.commands[0].refused.as_deref(), Some("a branch must point to a commit"));
    let absent = sides.push(&[(&tip, NULL, "refs/heads/never-there")], b"");
    assert!(absent.deploys().is_none() && absent.commands[0].refused.is_none());
    assert!(sides.server.update_refs(&absent.accepted(), false).unwrap().is_empty());
    for name in ["main", "refs/heads/../../config", "refs/heads/a..b", "refs/heads/a b", "HEAD"] {
        let odd = sides.push(&[(NULL, &tip, name)], &sides.pack_of(&[&tip]));
        assert_eq!(odd.commands[0].refused.as_deref(), Some("funny refname"), "{name}");
    }
}

#[test]
fn an_atomic_push_is_all_or_none() {
    let sides = Sides::new();
    let tip = sides.commit("a", b"1");
    let both = [(NULL, tip.as_str(), MAIN), (NULL, tip.as_str(), "refs/heads/a..b")];
    let pack = sides.pack(&tip, None);
    let received = sides.push_with(&both, "report-status atomic", &pack, &Limits::default());
    assert!(received.accepted().is_empty());
    assert_eq!(received.commands[0].refused.as_deref(), Some("atomic push failed"));
    let received = sides.push_with(&both, "report-status", &pack, &Limits::default());
    assert_eq!(received.accepted().len(), 1);
}

#[test]
fn only_fast_forwards_if_so_wanted() {
    let sides = Sides::new();
    let first = sides.commit("a", b"1");
    sides.push_branch(&first);
    sides.git(&["checkout", "--quiet", "--orphan", "other"]);
    let other = sides.commit("b", b"2");
    let pack = sides.pack(&other, None);
    let strict = Limits { only_fast_forward: true, ..Limits::default() };
    let received = sides.push_with(&[(&first, &other, MAIN)], "report-status", &pack, &strict);
    assert_eq!(received.commands[0].refused.as_deref(), Some("non-fast-forward"));
    assert!(sides.push(&[(&first, &other, MAIN)], &pack).commands[0].refused.is_none());
}

#[test]
fn a_probe_says_nothing_and_nonsense_is_no_push() {
    let sides = Sides::new();
    let (limits, cancel) = (Limits::default(), AtomicBool::new(false));
    assert!(sides.server.receive(&b"0000"[..], &limits, &cancel).unwrap().is_none());
    assert!(sides.server.receive(&b""[..], &limits, &cancel).unwrap().is_none());
    for bad in [&b"0008oops0000"[..], b"zzzz", b"0006"] {
        let answer = sides.server.receive(bad, &limits, &cancel);
        assert!(!matches!(answer, Ok(Some(_))), "{bad:?}");
    }
    sides.is_clean();
}

#[test]
fn a_shallow_clone_can_push() {
    let sides = Sides::new();
    sides.commit("a", b"1");
    sides.commit("b", b"2");
    let tip = sides.commit("c", b"3");
    let tree = sides.git(&["rev-parse", "HEAD^{tree}"]);
    let blobs = sides.git(&["ls-tree", "-r", "--format=%(objectname)", "HEAD"]);
    let mut ids: Vec<&str> = blobs.lines().collect();
    ids.extend([tree.as_str(), tip.as_str()]);
    let pack = sides.pack_of(&ids);
    let line = format!("shallow {tip}");
    let command = format!("{NULL} {tip} {MAIN}\0report-status");
    let mut request =
        format!("{:04x}{line}{:04x}{command}0000", line.len() + 4, command.len() + 4).into_bytes();
    request.extend(pack);
    let received =
        sides.server.receive(&request[..], &Limits::default(), &AtomicBool::new(false)).unwrap().unwrap();
    assert_eq!((received.unpack_error.clone(), received.accepted().len()), (None, 1));
}

#[test]
fn a_cancelled_push_leaves_nothing() {
    let sides = Sides::new();
    let tip = sides.commit("file", &b"some content ".repeat(5000));
    let command = format!("{NULL} {tip} {MAIN}\0report-status");
    let mut request = format!("{:04x}{command}0000", command.len() + 4).into_bytes();
    request.extend(sides.pack(&tip, None));
    let received = sides.server.receive(&request[..], &Limits::default(), &AtomicBool::new(true)).unwrap();
    assert!(received.is_none_or(|r| r.accepted().is_empty()));
    sides.is_clean();
}
