//! Random histories: files whose versions git stores as deltas, branches, merges, tags, and rewritten branches.

use std::{collections::BTreeMap, fmt::Write as _};

use super::support::Sides;

/// The numbers of one seed, the same on every machine (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `most`.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(most).unwrap()).unwrap()
    }

    /// True so many times of a hundred.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A repository that grows.
pub(crate) struct Maker {
    files: BTreeMap<String, Vec<String>>,
    commits: u64,
    tags: usize,
    /// Whether commits may be older than their parents.
    skewed: bool,
    /// Whether fetches by time mean the same to everybody: among commits that are older than their parents it is a
    /// matter of taste what is reached by way of an old one.
    pub(crate) by_time: bool,
}

/// The time of the first commit.
pub(crate) const BEGAN: u64 = 1_700_000_000;
/// Seconds between two commits.
pub(crate) const STEP: u64 = 100;
const BRANCHES: [&str; 3] = ["main", "side", "topic/x"];

impl Maker {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let skewed = dice.chance(20);
        Self { files: BTreeMap::new(), commits: 0, tags: 0, skewed, by_time: !skewed }
    }

    /// How many commits there are.
    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    /// Adds commits to the client's repository of `sides`, and rewrites branches.
    pub(crate) fn grow(&mut self, sides: &Sides, dice: &mut Dice) {
        let listed = sides.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        let mut branches: Vec<String> = listed.lines().map(str::to_owned).collect();
        let mut stream = String::new();
        // Where branches are by now: what this stream has made has no name yet.
        let mut tips: BTreeMap<String, String> =
            branches.iter().map(|b| (b.clone(), format!("refs/heads/{b}^0"))).collect();
        for _ in 0..=dice.below(8) {
            self.change(dice);
            let branch = if branches.is_empty() { BRANCHES[0] } else { *dice.pick(&BRANCHES) };
            let known = branches.iter().any(|b| b == branch);
            let mut parents = Vec::new();
            if known {
                // A commit that was there before this call: the branch is rewritten from it.
                let old = sides.git_maybe(&[
                    "rev-parse",
                    "--verify",
                    "--quiet",
                    &format!("{branch}~{}", dice.below(3)),
                ]);
                match old.filter(|_| dice.chance(12)) {
                    Some(old) => parents.push(old),
                    None => parents.push(tips[branch].clone()),
                }
            } else if !branches.is_empty() && dice.chance(85) {
                parents.push(tips[dice.pick(&branches)].clone());
            }
            if !parents.is_empty() && branches.len() > 1 && dice.chance(20) {
                let other = tips[dice.pick(&branches)].clone();
                if !parents.contains(&other) {
                    parents.push(other);
                }
            }
            self.commit(&mut stream, branch, &parents, dice);
            if !known {
                branches.push(branch.to_owned());
            }
            let tip = format!(":{}", self.commits);
            if dice.chance(15) {
                self.tag(&mut stream, &tip, dice);
            }
            tips.insert(branch.to_owned(), tip);
        }
        sides.git_with(&["fast-import", "--quiet", "--force", "--date-format=raw"], stream.as_bytes());
    }

    fn change(&mut self, dice: &mut Dice) {
        let names = ["a", "b", "dir/c", "dir/deep/d", "lib/e"];
        for _ in 0..=dice.below(2) {
            let name = *dice.pick(&names);
            let lines = self.files.entry(name.to_owned()).or_default();
            if lines.is_empty() {
                lines.extend((0..30 + dice.below(60)).map(|_| line(dice)));
            } else {
                let place = dice.below(lines.len());
                lines[place] = line(dice);
            }
        }
        if dice.chance(10) {
            // Moved, and maybe put back later: the same blobs and trees in other places.
            let name = *dice.pick(&names);
            if let Some(lines) = self.files.remove(name) {
                self.files.insert(format!("moved/{name}"), lines);
            }
        }
    }

    fn commit(&mut self, stream: &mut String, branch: &str, parents: &[String], dice: &mut Dice) {
        self.commits += 1;
        let mut time = BEGAN + self.commits * STEP;
        if self.skewed && dice.chance(30) {
            time -= STEP * 7;
        }
        let mark = self.commits;
        let _ = writeln!(
            stream,
            "commit refs/heads/{branch}\nmark :{mark}\ncommitter ann <ann@example.com> {time} +0000"
        );
        data(stream, &format!("commit {}", self.commits));
        for (index, parent) in parents.iter().enumerate() {
            let _ = writeln!(stream, "{} {parent}", if index == 0 { "from" } else { "merge" });
        }
        stream.push_str("deleteall\n");
        for (name, lines) in &self.files {
            let _ = writeln!(stream, "M 100644 inline {name}");
            data(stream, &lines.join("\n"));
        }
        stream.push('\n');
    }

    fn tag(&mut self, stream: &mut String, tip: &str, dice: &mut Dice) {
        self.tags += 1;
        let name = format!("v{}", self.tags);
        if dice.chance(50) {
            let time = BEGAN + self.commits * STEP;
            let _ = writeln!(stream, "tag {name}\nfrom {tip}\ntagger ann <ann@example.com> {time} +0000");
            data(stream, &name);
        } else {
            let _ = writeln!(stream, "reset refs/tags/{name}\nfrom {tip}\n");
        }
    }
}

fn line(dice: &mut Dice) -> String {
    let words: Vec<String> = (0..3).map(|_| format!("{:016x}", dice.next())).collect();
    words.join(" ")
}

fn data(stream: &mut String, text: &str) {
    let _ = writeln!(stream, "data {}\n{text}", text.len());
}
