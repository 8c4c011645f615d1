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
    assert_eq!(sides.export(&tip, out.path()).unwrap().files, 1);
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
    let limit = b"PACK\0\0\0\x02 limit exceeded by an alloc";
    for pack in [&flipped, &good[..good.len() - 30], &lying, &b"not a pack at all"[..], b"PA"] {
        refused(&sides, &sides.push(&[(NULL, &tip, MAIN)], pack), "damaged or incomplete");
    }
    refused(&sides, &sides.push(&[(NULL, &tip, MAIN)], limit), "more than 1000000 objects");
    refused(&sides, &sides.push(&[(NULL, &tip, MAIN)], b""), "without a pack");
    // The same commit can be pushed at once.
    sides.push_branch(&tip);
    // What is there already needs a pack all the same: git always sends one.
    let bare = sides.push(&[(NULL, &tip, "refs/heads/again")], b"");
    assert!(bare.accepted().is_empty() && bare.unpack_error.is_some());
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
    for name in ["..", ".git", ".GIT", "git~1", ".g\u{200c}it", "a/b", ".", "..\\x", "a\u{1b}]0;x"] {
        let (tree, commit) = sides.tree(&[("100644", name.as_bytes(), &blob)]);
        let pack = sides.pack_of(&[&blob, &tree, &commit]);
        refused(&sides, &sides.push(&[(NULL, &commit, MAIN)], &pack), "forbidden name");
    }
    let (tree, commit) = sides.tree(&[("170000", b"odd", &blob)]);
    let pack = sides.pack_of(&[&blob, &tree, &commit]);
    refused(&sides, &sides.push(&[(NULL, &commit, MAIN)], &pack), "its mode is unknown");
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
    let tight = Limits { unpacked_bytes: 2 << 20, ..Limits::default() };
    refused(
        &sides,
        &sides.push_with(&[(NULL, &tip, MAIN)], "report-status", &pack, &tight),
        "unpacks to more than 2 MiB",
    );
    let few = Limits { objects: 2, ..Limits::default() };
    refused(
        &sides,
        &sides.push_with(&[(NULL, &tip, MAIN)], "report-status", &pack, &few),
        "more than 2 objects",
    );
    let short = Limits { pack_bytes: 1000, ..Limits::default() };
    refused(
        &sides,
        &sides.push_with(&[(NULL, &tip, MAIN)], "report-status", &pack, &short),
        "the push is larger than 0 MiB",
    );
    // Nothing but the head has to come for a number of objects that is too large.
    let head = [&b"PACK"[..], &2_u32.to_be_bytes(), &u32::MAX.to_be_bytes()].concat();
    refused(&sides, &sides.push(&[(NULL, &tip, MAIN)], &head), "more than 1000000 objects");
}

#[test]
fn refs_move_only_from_where_they_were() {
    let sides = Sides::new();
    let first = sides.commit("a", b"1");
    sides.push_branch(&first);
    let second = sides.commit("b", b"2");
    let pack = sides.pack(&second, Some(&first));
    let stale = sides.push(&[(NULL, &second, MAIN)], &pack);
    assert_eq!(stale.commands[0].refused.as_deref(), Some("stale info"));
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
    let long = format!("refs/heads/{}", "x".repeat(201));
    for name in [
        "main",
        "HEAD",
        "refs/heads/../../config",
        "refs/heads/a..b",
        "refs/heads/a b",
        "refs/heads/a.lock",
        "refs/heads/-x",
        "refs/heads/--upload-pack=id",
        "refs/heads/$(id)",
        "refs/heads/`id`",
        "refs/heads/a|b",
        "refs/tags/;id",
        &long,
    ] {
        let odd = sides.push(&[(NULL, &tip, name)], &sides.pack_of(&[&tip]));
        assert_eq!(odd.commands[0].refused.as_deref(), Some("funny refname"), "{name}");
    }
    for name in ["refs/replace/x", "refs/notes/commits", "refs/pull/1/head"] {
        let odd = sides.push(&[(NULL, &tip, name)], &sides.pack_of(&[&tip]));
        assert_eq!(
            odd.commands[0].refused.as_deref(),
            Some("only branches and tags are taken here"),
            "{name}"
        );
    }
}

#[test]
fn a_ref_that_cannot_be_written_is_refused_before_anything_is_built() {
    let sides = Sides::new();
    let tip = sides.commit("a", b"1");
    sides.push_branch(&tip);
    let pack = sides.pack(&tip, None);
    let below = sides.push(&[(NULL, &tip, "refs/heads/main/x")], &pack);
    let reason = "'refs/heads/main' exists; cannot create 'refs/heads/main/x'";
    assert_eq!(below.commands[0].refused.as_deref(), Some(reason));
    let deep = sides.push(&[(NULL, &tip, "refs/heads/dir/x")], &pack);
    assert!(sides.server.update_refs(&deep.accepted(), false).unwrap().is_empty());
    let above = sides.push(&[(NULL, &tip, "refs/heads/dir")], &pack);
    assert!(above.commands[0].refused.as_deref().unwrap().starts_with("'refs/heads/dir/x' exists"));
    let both = sides.push(&[(NULL, &tip, "refs/heads/n"), (NULL, &tip, "refs/heads/n/x")], &pack);
    assert!(both.accepted().is_empty());
    let twice = sides.push(&[(NULL, &tip, "refs/heads/t"), (NULL, &tip, "refs/heads/t")], &pack);
    assert!(twice.accepted().is_empty());
    // Names that only look alike, or whose folder is empty, are fine.
    assert_eq!(sides.push(&[(NULL, &tip, "refs/heads/main-x")], &pack).accepted().len(), 1);
    let gone = sides.push(&[(&tip, NULL, "refs/heads/dir/x")], b"");
    assert!(sides.server.update_refs(&gone.accepted(), false).unwrap().is_empty());
    let now = sides.push(&[(NULL, &tip, "refs/heads/dir")], &pack);
    assert!(sides.server.update_refs(&now.accepted(), false).unwrap().is_empty());
    sides.is_clean();
}

#[test]
fn a_request_that_breaks_off_is_no_push() {
    let sides = Sides::new();
    let tip = sides.commit("a", b"1");
    sides.push_branch(&tip);
    let line = |old: &str, new: &str, name: &str| {
        let command = format!("{old} {new} {name}\0report-status");
        format!("{:04x}{command}", command.len() + 4).into_bytes()
    };
    let create = line(NULL, &tip, "refs/heads/nopack");
    let cases = [
        line(&tip, NULL, MAIN),
        create.clone(),
        [&create[..], b"0001"].concat(),
        [&create[..], b"0002"].concat(),
        [&create[..], b"0050abc"].concat(),
        [&create[..], b"00"].concat(),
        b"0001".to_vec(),
        b"00".to_vec(),
    ];
    for request in cases {
        let answer = sides.server.receive(&request[..], &Limits::default(), &AtomicBool::new(false));
        assert!(answer.is_err(), "{:?}", String::from_utf8_lossy(&request));
    }
    // Push options end with a flush of their own.
    let command = format!("{NULL} {tip} refs/heads/options\0report-status push-options");
    let mut request = format!("{:04x}{command}0000", command.len() + 4).into_bytes();
    request.extend(b"0009x=y\n");
    assert!(sides.server.receive(&request[..], &Limits::default(), &AtomicBool::new(false)).is_err());
}

#[test]
fn what_changed_since_the_check_is_refused_by_the_next_one() {
    let sides = Sides::new();
    let first = sides.commit("a", b"1");
    sides.push_branch(&first);
    let second = sides.commit("b", b"2");
    let pack = sides.pack(&second, Some(&first));
    let one = sides.push(&[(&first, &second, MAIN)], &pack);
    let mut other = sides.push(&[(&first, &second, MAIN), (NULL, &second, "refs/heads/side")], &pack);
    assert!(sides.server.update_refs(&one.accepted(), false).unwrap().is_empty());
    sides.server.check_again(&mut other, &Limits::default()).unwrap();
    assert_eq!(other.commands[0].refused.as_deref(), Some("stale info"));
    assert_eq!(other.accepted().len(), 1);
}

#[test]
fn locks_of_a_killed_process_are_swept_and_said_while_they_stand() {
    let sides = Sides::new();
    let first = sides.commit("a", b"1");
    sides.push_branch(&first);
    let second = sides.commit("b", b"2");
    let received = sides.push(&[(&first, &second, MAIN)], &sides.pack(&second, Some(&first)));
    let locks = ["refs/heads/main.lock", "packed-refs.lock", "HEAD.lock", "shallow.lock", "HEAD.new"];
    for lock in locks {
        std::fs::write(sides.server.path().join(lock), "").unwrap();
    }
    for atomic in [true, false] {
        let refused = sides.server.update_refs(&received.accepted(), atomic).unwrap();
        assert_eq!(refused.len(), 1);
        assert!(refused[0].reason.contains("locked or cannot be written"), "{refused:?}");
    }
    sides.server.sweep().unwrap();
    assert!(locks.iter().all(|lock| !sides.server.path().join(lock).exists()));
    assert!(sides.server.update_refs(&received.accepted(), false).unwrap().is_empty());
    sides.is_clean();
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
    let received = sides.receive(&request, &Limits::default());
    assert_eq!((received.unpack_error.clone(), received.accepted().len()), (None, 1));
}

#[test]
fn a_push_from_a_shallow_clone_cuts_nothing_off_that_is_here() {
    let sides = Sides::new();
    sides.commit("a", b"1");
    let second = sides.commit("b", b"2");
    sides.push_branch(&second);
    let third = sides.commit("c", b"3");
    for (root, line) in [(&second, "an old one"), (&third, "the new one, whose parent is here")] {
        let shallow = format!("shallow {root}");
        let command = format!("{NULL} {third} refs/heads/side\0report-status");
        let mut request =
            format!("{:04x}{shallow}{:04x}{command}0000", shallow.len() + 4, command.len() + 4).into_bytes();
        request.extend(sides.pack(&third, Some(&second)));
        let received = sides.receive(&request, &Limits::default());
        assert_eq!((received.unpack_error.clone(), received.accepted().len()), (None, 1), "{line}");
        assert!(!sides.server.path().join("shallow").exists(), "{line}");
    }
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

#[test]
fn what_a_failed_push_brought_goes_again() {
    let sides = Sides::new();
    let first = sides.commit("a", b"1");
    sides.push_branch(&first);
    let second = sides.commit("b", b"2");
    let request =
        Sides::request(&[(&first, &second, MAIN)], "report-status", &sides.pack(&second, Some(&first)));
    let (limits, never) = (Limits::default(), AtomicBool::new(false));
    let read = || sides.server.receive(&request[..], &limits, &never).unwrap().unwrap();
    let present = packs(sides.server.path());
    // Nothing is among the objects before its turn, and nothing is left of who never has one.
    let waiting = read();
    assert_eq!(packs(sides.server.path()), present);
    drop(waiting);
    sides.is_clean();
    // A build that failed.
    let mut failed = read();
    let pack = sides.server.store(&mut failed, "one").unwrap().unwrap();
    assert_eq!(packs(sides.server.path()), present + 1);
    sides.server.discard(&pack).unwrap();
    assert_eq!(packs(sides.server.path()), present);
    // A kill in the middle: another push's remains stay.
    let mut killed = read();
    sides.server.store(&mut killed, "two").unwrap().unwrap();
    sides.server.discard_of("three").unwrap();
    assert_eq!(packs(sides.server.path()), present + 1);
    sides.server.discard_of("two").unwrap();
    assert_eq!(packs(sides.server.path()), present);
    // One that moves its refs stays for good.
    let mut good = read();
    let pack = sides.server.store(&mut good, "four").unwrap().unwrap();
    sides.server.keep(&pack).unwrap();
    assert!(sides.server.update_refs(&good.accepted(), false).unwrap().is_empty());
    sides.server.discard_of("four").unwrap();
    assert_eq!(packs(sides.server.path()), present + 1);
    drop((killed, good, failed));
    sides.is_clean();
}

#[test]
fn what_relied_on_a_failed_push_is_checked_again() {
    let sides = Sides::new();
    let first = sides.commit("a", b"1");
    let second = sides.commit("b", b"2");
    let (limits, never) = (Limits::default(), AtomicBool::new(false));
    let request = Sides::request(&[(NULL, &first, MAIN)], "report-status", &sides.pack(&first, None));
    let mut failing = sides.server.receive(&request[..], &limits, &never).unwrap().unwrap();
    let pack = sides.server.store(&mut failing, "one").unwrap().unwrap();
    // Its parent is there for now, and no ref says so.
    let request =
        Sides::request(&[(NULL, &second, MAIN)], "report-status", &sides.pack(&second, Some(&first)));
    let mut relying = sides.server.receive(&request[..], &limits, &never).unwrap().unwrap();
    assert_eq!(relying.accepted().len(), 1);
    sides.server.discard(&pack).unwrap();
    sides.server.check_again(&mut relying, &limits).unwrap();
    assert!(relying.accepted().is_empty());
    assert!(relying.unpack_error.unwrap().contains("missing necessary objects"));
}
