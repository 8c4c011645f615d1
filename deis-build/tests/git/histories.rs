//! Fetches of random histories, beside those of `git upload-pack` from the same repository.
//!
//! Whatever a client asks for, it must end with the same refs, the same ends of its history and the same objects as
//! from git, and `git fsck` must find nothing wrong. `DEIS_SEED=17` repeats one history; `DEIS_SEEDS=200` runs as many
//! of each transport.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{
    history_maker::{BEGAN, Dice, Maker, STEP},
    server::{PEER, Transport, serve},
    support::{NULL, Sides},
};

/// Seeds of each transport that always run.
const SEEDS: u64 = 100;

#[test]
fn fetches_of_random_histories_over_http_give_what_git_gives() {
    all(Transport::Http, 0);
}

#[test]
fn fetches_of_random_histories_over_one_connection_give_what_git_gives() {
    all(Transport::Git, 1_000);
}

fn all(transport: Transport, first: u64) {
    let url = serve(transport);
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (one, seeds) = (number("DEIS_SEED"), number("DEIS_SEEDS").unwrap_or(SEEDS));
    let (mut ours, mut theirs) = (0, 0);
    let of_transport = (1..=seeds).map(|seed| first + seed);
    for seed in of_transport.filter(|seed| one.is_none_or(|one| one == *seed)) {
        let (own, peer) = one_history(&url, seed);
        ours += own;
        theirs += peer;
    }
    println!("{transport:?}: {ours} objects were received, from git {theirs}");
    // What is sent twice is no error, but a server that always sends everything would show here.
    // In a few small packs the trees that git happens to leave out are more than a twentieth, hence the ten.
    assert!(ours <= theirs + theirs / 20 + 10, "{ours} objects were received, from git {theirs}");
}

/// Lets two clients do the same, one from us and one from git; returns how many objects each received.
fn one_history(url: &str, seed: u64) -> (usize, usize) {
    let mut dice = Dice::new(seed);
    let mut sides = Sides::new();
    let mut maker = Maker::new(&mut dice);
    maker.grow(&sides, &mut dice);
    // A server that was pushed to from a shallow clone, once: what it lacks it cannot be told about again.
    let is_shallow = dice.chance(15);
    // Git forgets in fetches by time where a server's own history ends, and its client has a broken repository then.
    maker.by_time &= !is_shallow;
    if is_shallow {
        let depth = 1 + dice.below(3);
        sides.server_from_git(depth);
    } else {
        push_all(&sides, &mut dice);
    }
    if !is_shallow && dice.chance(60) {
        maker.grow(&sides, &mut dice);
        push_all(&sides, &mut dice);
    }
    let folder = tempfile::tempdir().unwrap();
    let server = sides.server.path().to_path_buf();
    let pair = Pair {
        seed,
        steps: std::cell::RefCell::default(),
        home: folder.path().to_path_buf(),
        urls: [format!("{url}{}", server.display()), peer_url(url, &server)],
    };
    pair.clone(&sides, &maker, &mut dice);
    for round in 0..=dice.below(3) {
        if !folder.path().join("theirs").exists() {
            // Neither of them could be cloned in this shape.
            return (0, 0);
        }
        if !is_shallow && dice.chance(75) {
            maker.grow(&sides, &mut dice);
            push_all(&sides, &mut dice);
        }
        if dice.chance(25) {
            pair.commit_locally(round);
        }
        pair.fetch(&sides, &maker, &mut dice);
    }
    (pair.received("ours"), pair.received("theirs"))
}

/// Where git serves the same repository: over HTTP too, for a client follows tags in another way then.
fn peer_url(url: &str, server: &Path) -> String {
    if url.starts_with("http:") {
        format!("{url}{PEER}{}", server.display())
    } else {
        format!("file://{}", server.display())
    }
}

/// Brings every ref of the client's repository to the server, as one push with a pack as git makes it.
fn push_all(sides: &Sides, dice: &mut Dice) {
    let list = |args: &[&str]| -> Vec<(String, String)> {
        let text = sides.git(args);
        text.lines()
            .filter_map(|l| l.split_once(' '))
            .map(|(id, name)| (id.to_owned(), name.to_owned()))
            .collect()
    };
    let format = "--format=%(objectname) %(refname)";
    let wanted = list(&["for-each-ref", format]);
    let server = sides.server.path().display().to_string();
    let present = list(&["--git-dir", &server, "for-each-ref", format]);
    let mut commands = Vec::new();
    for (id, name) in &wanted {
        let old = present.iter().find(|(_, n)| n == name).map_or(NULL, |(old, _)| old);
        if old != id {
            commands.push((old, id.as_str(), name.as_str()));
        }
    }
    if commands.is_empty() {
        return;
    }
    // In one push or in several, each a pack of its own whose deltas may have their bases in another.
    let size = if dice.chance(50) { commands.len() } else { 1 };
    let mut known: Vec<String> = present.iter().map(|(id, _)| id.clone()).collect();
    for part in commands.chunks(size) {
        let mut revisions = Vec::new();
        revisions.extend(part.iter().map(|(_, new, _)| (*new).to_owned()));
        revisions.extend(known.iter().map(|id| format!("^{id}")));
        let revisions = revisions.join("\n") + "\n";
        let pack = sides.git_bytes(
            &["pack-objects", "--revs", "--stdout", "-q", "--thin", "--delta-base-offset"],
            revisions.as_bytes(),
        );
        let received = sides.push(part, &pack);
        assert_eq!(received.unpack_error, None);
        assert_eq!(received.accepted().len(), part.len(), "{:?}", received.commands);
        assert!(sides.server.update_refs(&received.accepted(), false).unwrap().is_empty());
        known.extend(part.iter().map(|(_, new, _)| (*new).to_owned()));
    }
    sides.server.adopt_head("refs/heads/main").unwrap();
}

/// Two clients that do the same.
struct Pair {
    seed: u64,
    steps: std::cell::RefCell<Vec<String>>,
    home: PathBuf,
    /// Where each fetches from.
    urls: [String; 2],
}

const NAMES: [&str; 2] = ["ours", "theirs"];

impl Pair {
    fn clone(&self, sides: &Sides, maker: &Maker, dice: &mut Dice) {
        let mut args = vec!["clone".to_owned(), "--quiet".to_owned(), "--no-checkout".to_owned()];
        match dice.below(6) {
            0 => {}
            1 => args.push(format!("--depth={}", 1 + dice.below(4))),
            2 => args.extend([format!("--depth={}", 1 + dice.below(4)), "--no-single-branch".to_owned()]),
            3 => args.extend(["--single-branch".to_owned(), format!("--branch={}", branch(sides, dice))]),
            4 => args.extend(["--no-tags".to_owned(), format!("--depth={}", 1 + dice.below(3))]),
            _ => args.extend(by_time(maker, dice)),
        }
        let options = options(dice);
        self.both(|name, url| {
            let mut all = options.clone();
            all.extend(args.iter().cloned());
            all.extend([url.to_owned(), name.to_owned()]);
            (self.home.clone(), all)
        });
        self.compare();
    }

    fn fetch(&self, sides: &Sides, maker: &Maker, dice: &mut Dice) {
        let mut args = vec!["fetch".to_owned(), "--quiet".to_owned(), "--force".to_owned()];
        match dice.below(9) {
            0 | 1 => {}
            2 => args.push(format!("--depth={}", 1 + dice.below(5))),
            3 => args.push(format!("--deepen={}", 1 + dice.below(3))),
            4 => args.extend(by_time(maker, dice)),
            5 => args.push("--tags".to_owned()),
            6 => args.push("--prune".to_owned()),
            _ if self.home.join("theirs/.git/shallow").exists() => args.push("--unshallow".to_owned()),
            _ => {}
        }
        args.push("origin".to_owned());
        if dice.chance(30) {
            let branch = branch(sides, dice);
            args.push(format!("+refs/heads/{branch}:refs/remotes/origin/{branch}"));
        }
        let options = options(dice);
        self.both(|name, _| {
            let mut all = options.clone();
            all.extend(args.iter().cloned());
            (self.home.join(name), all)
        });
        self.compare();
    }

    /// A commit that the server has never seen, at the tip of something that it may have.
    fn commit_locally(&self, round: usize) {
        for name in NAMES {
            let folder = self.home.join(name);
            let base =
                self.git(&folder, &["for-each-ref", "--count=1", "--format=%(objectname)", "refs/remotes"]);
            if base.is_empty() {
                continue;
            }
            let tree = format!("{base}^{{tree}}");
            let commit = self.git(&folder, &["commit-tree", "-p", &base, "-m", "local", &tree]);
            self.git(&folder, &["update-ref", &format!("refs/heads/local-{round}"), &commit]);
        }
    }

    /// Does the same with both; either both succeed or none.
    fn both(&self, command: impl Fn(&str, &str) -> (PathBuf, Vec<String>)) {
        let mut ended = Vec::new();
        for (name, url) in NAMES.into_iter().zip(&self.urls) {
            let (folder, args) = command(name, url);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            if name == "ours" {
                self.steps.borrow_mut().push(format!("git {}", args.join(" ")));
            }
            let output = run(&folder, &args);
            ended.push((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        assert_eq!(ended[0].0, ended[1].0, "{}: {ended:?}", self.place());
    }

    fn compare(&self) {
        let look = |name: &str| {
            let folder = self.home.join(name);
            if !folder.exists() {
                return (String::new(), BTreeSet::new(), BTreeSet::new());
            }
            let refs = self.git(&folder, &["for-each-ref"]);
            let shallow = fs::read_to_string(folder.join(".git/shallow")).unwrap_or_default();
            let shallow: BTreeSet<String> = shallow.lines().map(str::to_owned).collect();
            let objects = self.git(&folder, &["rev-list", "--objects", "--all"]);
            let objects: BTreeSet<String> =
                objects.lines().filter_map(|l| l.split(' ').next()).map(str::to_owned).collect();
            (refs, shallow, objects)
        };
        let (ours, theirs) = (look("ours"), look("theirs"));
        assert_eq!(ours.0, theirs.0, "{}: refs", self.place());
        assert_eq!(ours.1, theirs.1, "{}: ends of history", self.place());
        assert_eq!(ours.2, theirs.2, "{}: objects", self.place());
        if self.home.join("ours").exists() {
            self.git(&self.home.join("ours"), &["fsck", "--full", "--strict"]);
        }
    }

    fn received(&self, name: &str) -> usize {
        let folder = self.home.join(name);
        if !folder.exists() {
            return 0;
        }
        let counts = self.git(&folder, &["count-objects", "-v"]);
        let packed = counts.lines().find_map(|l| l.strip_prefix("in-pack: "));
        packed.unwrap().parse().unwrap()
    }

    fn git(&self, folder: &Path, args: &[&str]) -> String {
        let output = run(folder, args);
        assert!(
            output.status.success(),
            "{}: git {args:?} in {}: {}",
            self.place(),
            folder.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn place(&self) -> String {
        format!("DEIS_SEED={} after {:#?}", self.seed, self.steps.borrow())
    }
}

/// How the client negotiates, and which forms of deltas it takes.
fn options(dice: &mut Dice) -> Vec<String> {
    let mut all = vec!["-c".to_owned(), "fetch.unpackLimit=1".to_owned()];
    let mut set = |text: &str| all.extend(["-c".to_owned(), text.to_owned()]);
    set(["protocol.version=0", "protocol.version=2"][dice.below(2)]);
    set(["fetch.negotiationAlgorithm=consecutive", "fetch.negotiationAlgorithm=skipping"][dice.below(2)]);
    if dice.chance(20) {
        set("repack.useDeltaBaseOffset=false");
    }
    all
}

fn branch(sides: &Sides, dice: &mut Dice) -> String {
    let server = sides.server.path().display().to_string();
    let listed =
        sides.git(&["--git-dir", &server, "for-each-ref", "--format=%(refname:short)", "refs/heads"]);
    let listed: Vec<&str> = listed.lines().collect();
    (*dice.pick(&listed)).to_owned()
}

fn by_time(maker: &Maker, dice: &mut Dice) -> Vec<String> {
    if !maker.by_time {
        return vec![format!("--depth={}", 1 + dice.below(3))];
    }
    let commits = usize::try_from(maker.commits()).unwrap();
    let time = BEGAN + u64::try_from(dice.below(commits)).unwrap() * STEP + 1;
    vec![format!("--shallow-since=@{time}")]
}

fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new("git")
        .args(["-c", "user.name=ann", "-c", "user.email=ann@example.com", "-c", "gc.auto=0"])
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_COMMITTER_DATE", "1750000000 +0000")
        .env("GIT_AUTHOR_DATE", "1750000000 +0000")
        .output()
        .unwrap()
}
