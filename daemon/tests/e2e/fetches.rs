//! Fetches from a real daemon over both transports, beside those of `git upload-pack` from the same repository.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use super::test_platform::{STATIC, TestPlatform, Work};

#[test]
fn a_fetch_that_git_packs_is_served() {
    let rig = TestPlatform::new();
    let work = rig.app("tagged", STATIC);
    // So many objects are wanted that git sends its request through gzip.
    for number in 0..30 {
        work.commit(&[("number.txt", &number.to_string())]);
        work.git(&["tag", "--annotate", "--message", "x", &format!("v{number}")]);
    }
    work.git(&["push", "--quiet", "deis", "--tags"]);
    let remote = format!("http://ann:{}@localhost:{}/tagged.git", rig.token(), rig.http);
    work.git(&["init", "--quiet", "--bare", "all"]);
    work.git(&["-C", "all", "fetch", "--quiet", &remote, "refs/tags/*:refs/tags/*"]);
    work.git(&["-C", "all", "fsck", "--full", "--strict"]);
    assert_eq!(work.git(&["-C", "all", "tag"]).lines().count(), 30);
    // And once more, with haves.
    work.commit(&[("number.txt", "more")]);
    work.git(&["tag", "last"]);
    work.git(&["push", "--quiet", "deis", "last"]);
    work.git(&["-C", "all", "fetch", "--quiet", &remote, "refs/tags/*:refs/tags/*"]);
    assert_eq!(work.git(&["-C", "all", "tag"]).lines().count(), 31);
}

#[test]
fn the_last_commit_alone_needs_nothing_of_those_before() {
    let rig = TestPlatform::new();
    let ssh = rig.with_key();
    let work = rig.app("delta", STATIC);
    let lines: Vec<String> = (0..40).map(|n| format!("line {n}: {}", "words ".repeat(n % 7))).collect();
    work.commit(&[("long.txt", &lines.join("\n"))]);
    work.git(&["push", "deis", "main"]);
    work.commit(&[("long.txt", &lines.join("\n").replace("line 20", "line twenty"))]);
    work.git(&["push", "deis", "main"]);
    let http = format!("http://ann:{}@localhost:{}/delta.git", rig.token(), rig.http);
    for (name, remote) in [("http", http), ("ssh", format!("{ssh}/delta.git"))] {
        work.git(&["clone", "--quiet", "--depth", "1", &remote, name]);
        work.git(&["-C", name, "fsck", "--full", "--strict"]);
        assert!(fs::read_to_string(work.folder.join(name).join("long.txt")).unwrap().contains("twenty"));
    }
}

#[test]
fn random_histories_arrive_as_from_git() {
    let rig = TestPlatform::new();
    let ssh = rig.with_key();
    let work = rig.app("random", STATIC);
    let mut dice = Dice(20_261_127);
    let mut text: Vec<String> = (0..60).map(|n| format!("{n} {:x}", dice.next())).collect();
    let mut tags = 0;
    for round in 0..6 {
        for _ in 0..=dice.below(4) {
            let place = dice.below(text.len());
            text[place] = format!("changed {:x}", dice.next());
            work.commit(&[("text", &text.join("\n"))]);
            tags += 1;
            // Tags are stored and never built, so that many histories take seconds.
            work.git(&["tag", &format!("t{tags}")]);
        }
        work.git(&["push", "--quiet", "deis", "--tags"]);
        if dice.below(3) == 0 {
            work.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
        }
        let http = format!("http://ann:{}@localhost:{}/random.git", rig.token(), rig.http);
        let remotes = [http, format!("{ssh}/random.git"), repository(&rig)];
        let plan: Vec<String> = (0..2).map(|_| shape(&mut dice)).collect();
        let found: Vec<_> = remotes
            .iter()
            .enumerate()
            .map(|(number, remote)| fetched(&work, &format!("{round}-{number}"), remote, &plan))
            .collect();
        assert_eq!(found[0], found[2], "over HTTP: {plan:?} in round {round}");
        assert_eq!(found[1], found[2], "over SSH: {plan:?} in round {round}");
    }
}

/// Fetches in these shapes, one after the other; returns refs, ends of history and objects.
fn fetched(
    work: &Work,
    name: &str,
    remote: &str,
    plan: &[String],
) -> (String, BTreeSet<String>, BTreeSet<String>) {
    work.git(&["init", "--quiet", "--bare", name]);
    let mut shallow = BTreeSet::new();
    for shape in plan {
        let mut args = vec!["-C", name, "fetch", "--quiet"];
        // Only a history that ends early can be made whole.
        if shape == "--unshallow" && shallow.is_empty() {
            args.push("--tags");
        } else {
            args.push(shape);
        }
        args.extend([remote, "+refs/tags/*:refs/tags/*"]);
        work.git(&args);
        work.git(&["-C", name, "fsck", "--full", "--strict"]);
        let ends = fs::read_to_string(work.folder.join(name).join("shallow")).unwrap_or_default();
        shallow = ends.lines().map(str::to_owned).collect();
    }
    let refs = work.git(&["-C", name, "for-each-ref"]);
    let objects = work.git(&["-C", name, "rev-list", "--objects", "--all"]);
    let objects = objects.lines().filter_map(|l| l.split(' ').next()).map(str::to_owned).collect();
    (refs, shallow, objects)
}

fn shape(dice: &mut Dice) -> String {
    match dice.below(5) {
        0 => format!("--depth={}", 1 + dice.below(4)),
        1 => format!("--deepen={}", 1 + dice.below(3)),
        2 => "--unshallow".to_owned(),
        _ => "--tags".to_owned(),
    }
}

/// The only repository of the platform, as a URL for git alone.
fn repository(rig: &TestPlatform) -> String {
    let repos: Vec<_> = fs::read_dir(rig.path("data/repos")).unwrap().flatten().collect();
    assert_eq!(repos.len(), 1);
    let mut url = "file://".to_owned();
    let _ = write!(url, "{}", Path::display(&repos[0].path()));
    url
}

/// The numbers of a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(most).unwrap()).unwrap()
    }
}
