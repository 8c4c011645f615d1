//! No two files of a crate use each other, directly or by way of others.
//!
//! An edge is the use of an item in another file. A parent and its children are one room: what a file uses of its parent,
//! re-exports among it, and what a parent uses of its children, makes no edge.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{imports, visit};

/// The crates whose files are looked at.
const CRATES: [&str; 5] = ["deis-core", "deis-k8s", "deis-build", "daemon", "daemon/client"];

/// Which file uses items of which, by module path.
type Uses = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// Reads the uses of `files`: (path below `src`, text).
fn uses(files: &[(String, String)]) -> Uses {
    let modules: BTreeSet<Vec<String>> = files.iter().map(|(name, _)| imports::module_of(name)).collect();
    let mut uses = Uses::new();
    for (name, text) in files {
        let own = imports::module_of(name);
        let targets = imports::paths(&own, text).into_iter().filter_map(|path| {
            let segments: Vec<String> = path.split("::").map(str::to_owned).collect();
            // The item itself is in the deepest module that has a file; what is deeper is inline.
            let file = (0..=segments.len()).rev().map(|n| &segments[..n]).find(|m| modules.contains(*m))?;
            let one_room = file.starts_with(&own) || own.starts_with(file);
            (!one_room).then(|| file.to_vec())
        });
        uses.insert(own.clone(), targets.collect());
    }
    uses
}

/// The groups of files that use each other, each group once.
fn circles(uses: &Uses) -> Vec<BTreeSet<Vec<String>>> {
    let reach = |from: &Vec<String>| {
        let mut seen: BTreeSet<Vec<String>> = BTreeSet::new();
        let mut open: Vec<&Vec<String>> = uses.get(from).into_iter().flatten().collect();
        while let Some(next) = open.pop() {
            if seen.insert(next.clone()) {
                open.extend(uses.get(next).into_iter().flatten());
            }
        }
        seen
    };
    let reached: BTreeMap<&Vec<String>, BTreeSet<Vec<String>>> =
        uses.keys().map(|file| (file, reach(file))).collect();
    let mut found: Vec<BTreeSet<Vec<String>>> = Vec::new();
    for (file, theirs) in &reached {
        if theirs.contains(*file) && !found.iter().any(|group| group.contains(*file)) {
            let back = |other: &&Vec<String>| reached.get(*other).is_some_and(|r| r.contains(*file));
            found.push(theirs.iter().filter(back).cloned().collect());
        }
    }
    found
}

#[test]
fn no_two_files_use_each_other() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut wrong = Vec::new();
    for folder in CRATES {
        let root = workspace.join(folder).join("src");
        let mut files = Vec::new();
        visit(&root, &mut |path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            if !name.starts_with("bin/") {
                files.push((name, fs::read_to_string(path).unwrap()));
            }
        });
        assert!(!files.is_empty(), "{folder} has no source files");
        for group in circles(&uses(&files)) {
            let names: Vec<String> = group.iter().map(|module| module.join("::")).collect();
            wrong.push(format!("{folder}: {}", names.join(", ")));
        }
    }
    super::assert_remaining("files that use each other", wrong, include_str!("remaining_circles.txt"));
}

#[test]
fn a_circle_is_found() {
    let planted = |files: &[(&str, &str)]| {
        let files: Vec<(String, String)> =
            files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        circles(&uses(&files)).len()
    };
    let pair = [
        ("local/mod.rs", "mod a; mod b; pub use a::A;"),
        ("local/a.rs", "use super::b::B; pub struct A;"),
        ("local/b.rs", "fn f(_: super::a::A) {} pub struct B;"),
    ];
    assert_eq!(planted(&pair), 1);
    let three = [
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "use crate::c::{self, C};"),
        ("c.rs", "mod tests { use crate::a::A; }"),
    ];
    assert_eq!(planted(&three), 1);
    let across = [("x/a.rs", "use crate::y::b::B;"), ("y/b.rs", "use crate::x::a::A;")];
    assert_eq!(planted(&across), 1);
    // A parent's re-export is the parent's, and a room is one thing.
    let room = [
        ("local/mod.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
        ("local/a.rs", "use super::B; use super::b::C;"),
        ("local/b.rs", "use super::A;"),
    ];
    assert_eq!(planted(&room), 0);
}
