//! In the daemon one folder alone knows which back ends there are.

use std::{fs, path::Path};

use super::{imports, visit};

/// Where the daemon chooses its back ends.
const COMPOSITION: &str = "compose/backend/";

/// Modules of deis-core whose types are back ends. The tables of `routing` are what every router and scheduler fills.
const MODULES: [&str; 3] = ["local", "logs", "store"];

/// Back ends of other crates.
const TYPES: [&str; 3] = ["object_store", "Artifacts", "SlugFolders"];

/// The back ends that a file of the daemon names.
fn backends(file: &str, text: &str) -> Vec<String> {
    // Paths into deis-core are read as those into the own crate are; the daemon has no modules of these names at its root.
    let own = text.replace("deis_core::", "crate::");
    let paths = imports::paths(&imports::module_of(file), &own).into_iter();
    let mut found: Vec<String> =
        paths.filter(|path| path.split("::").next().is_some_and(|first| MODULES.contains(&first))).collect();
    let words = |line: &str| -> Vec<String> {
        line.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect()
    };
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    found.extend(code.flat_map(words).filter(|word| TYPES.contains(&word.as_str())));
    found
}

#[test]
fn only_the_composition_names_back_ends() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("daemon/src");
    let (mut wrong, mut chosen) = (Vec::new(), 0);
    visit(&root, &mut |path| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        let named = backends(name, &fs::read_to_string(path).unwrap());
        if name.starts_with(COMPOSITION) {
            chosen += named.len();
        } else {
            wrong.extend(named.into_iter().map(|path| format!("{name}: {path}")));
        }
    });
    assert!(wrong.is_empty(), "these name a back end outside {COMPOSITION}:\n{}", wrong.join("\n"));
    assert!(chosen > 5, "{COMPOSITION} names only {chosen}: is it elsewhere now?");
}

#[test]
fn a_back_end_is_found_wherever_it_is_named() {
    for (text, found) in [
        ("use deis_core::{Platform, local::LocalRunner};", vec!["local::LocalRunner"]),
        ("fn f() { deis_core::store::SqliteStore::open(p); }", vec!["store::SqliteStore::open"]),
        ("use deis_core::{logs::{self, FileLogs}};", vec!["logs", "logs::FileLogs"]),
        ("use object_store::local::LocalFileSystem;", vec!["object_store"]),
        (
            "/// See [`deis_core::local::LocalRunner`].\nuse deis_core::{port::Store, routing::RouteTable};",
            vec![],
        ),
        ("use super::logs::Lines; use crate::api::logs;", vec![]),
    ] {
        assert_eq!(backends("api/x.rs", text), found, "{text}");
    }
}
