//! The floors: imports point one way, within deis-core and between the crates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]
#![allow(clippy::disallowed_methods, reason = "a test may block, and has nobody to take the time from")]

mod backends;
mod circles;
mod crates;
mod imports;
mod names;
mod rooms;
mod root;
mod suites;

use std::{fs, path::Path};

/// What each module of deis-core may use besides itself. Whoever wants a line changed changes the architecture.
const FLOORS: [(&str, &[&str]); 12] = [
    ("model", &[]),
    ("os", &[]),
    ("plan", &["model"]),
    ("port", &["model"]),
    ("error", &["model", "plan", "port"]),
    // Of the ports, typed records know the store alone.
    (
        "state",
        &[
            "model",
            "plan",
            "port::Batch",
            "port::Edit",
            "port::Expect",
            "port::Found",
            "port::Key",
            "port::Order",
            "port::Read",
            "port::Record",
            "port::Revision",
            "port::Scan",
            "port::Store",
            "port::StoreError",
            "port::StoreExt",
            "port::Write",
        ],
    ),
    ("service", &["model", "plan", "port", "state", "error"]),
    // What proxies read: the route table is a router.
    ("routing", &["model", "port"]),
    ("store", &["model", "plan", "port"]),
    ("local", &["model", "os", "plan", "port", "routing"]),
    // Reads the files that the shims of `local` write.
    ("logs", &["model", "plan", "port", "local"]),
    // The simulated platform is put together from everything but this machine.
    ("conformance", &["model", "port", "routing", "error", "service", "store"]),
];

/// The imports of one file that its floor does not allow. `file` is the path below `src`.
fn wrong_imports(file: &str, text: &str) -> Vec<String> {
    let module = imports::module_of(file);
    let Some(floor) = module.first() else { return Vec::new() };
    let Some((_, allowed)) = FLOORS.iter().find(|(name, _)| name == floor) else {
        return vec![format!("{file}: module {floor} has no floor")];
    };
    let fits =
        |path: &str, rule: &str| path.strip_prefix(rule).is_some_and(|r| r.is_empty() || r.starts_with("::"));
    let paths = imports::paths(&module, text).into_iter();
    paths
        .filter(|path| !fits(path, floor) && !allowed.iter().any(|rule| fits(path, rule)))
        .map(|path| format!("{file}: {floor} must not use {path}"))
        .collect()
}

/// What is wrong is exactly what is known to be: whoever mends a line takes it off the list, and nobody adds one.
fn assert_remaining(what: &str, mut wrong: Vec<String>, known: &str) {
    wrong.sort_unstable();
    let known: Vec<&str> = known.lines().collect();
    let fresh: Vec<&String> = wrong.iter().filter(|line| !known.contains(&line.as_str())).collect();
    let gone: Vec<&&str> = known.iter().filter(|line| !wrong.iter().any(|w| w == **line)).collect();
    assert!(fresh.is_empty(), "{what}, new:\n{fresh:#?}");
    assert!(gone.is_empty(), "{what}, mended: take these lines off the list:\n{gone:#?}");
}

/// Calls `each` with every source file below `folder`.
fn visit(folder: &Path, each: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, each);
        } else if path.extension().is_some_and(|end| end == "rs") {
            each(&path);
        }
    }
}

#[test]
fn every_import_points_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut files = 0;
    visit(&root, &mut |path| {
        if path.starts_with(root.join("bin")) {
            return; // Executables stand on the library, not in it.
        }
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        wrong.extend(wrong_imports(name, &fs::read_to_string(path).unwrap()));
        files += 1;
    });
    assert!(files > FLOORS.len(), "only {files} files were read");
    assert!(wrong.is_empty(), "imports point the wrong way:\n{}", wrong.join("\n"));
}

/// What is built for release has no test code: only the root knows that there is a feature with suites in it.
#[test]
fn no_product_code_depends_on_the_feature_for_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    visit(&root, &mut |path| {
        let name = path.strip_prefix(&root).unwrap();
        let may = name == Path::new("lib.rs") || name.starts_with("conformance");
        if !may && fs::read_to_string(path).unwrap().contains("feature = \"conformance\"") {
            wrong.push(name.to_owned());
        }
    });
    assert!(wrong.is_empty(), "these files differ with the feature for tests: {wrong:?}");
}

#[test]
fn an_import_that_is_turned_round_is_found() {
    for (file, text, found) in [
        ("model/app.rs", "use crate::port::Store;", "port::Store"),
        ("plan/rollout.rs", "use crate::{model::App, state::record};", "state::record"),
        ("plan/rollout/tests.rs", "use crate::{model::{App, Head}, port::{self, Key}};", "port"),
        ("port/store.rs", "fn f() { crate::store::MemoryStore::new(); }", "store::MemoryStore::new"),
        ("store/sqlite/mod.rs", "use super::super::service as other;", "service"),
        ("local/mod.rs", "mod tests { use super::super::state::keys; }", "state::keys"),
        ("logs/ring.rs", "macro_rules! m { () => { $crate::service::Platform } }", "service::Platform"),
        ("state/keys.rs", "use crate::port::{Key, Scheduler};", "port::Scheduler"),
        ("state/keys.rs", "use crate::port::*;", "port::*"),
        (
            "conformance/sim/world.rs",
            "struct S { p: Option<crate::local::LocalRunner> }",
            "local::LocalRunner",
        ),
        ("model/app.rs", "use crate::Platform;", "Platform"),
        ("model/app.rs", "pub(in crate::service) struct S;", "service"),
    ] {
        let floor = file.split('/').next().unwrap();
        let expected = format!("{file}: {floor} must not use {found}");
        assert!(wrong_imports(file, text).contains(&expected), "{text}: {:?}", wrong_imports(file, text));
    }
    assert_eq!(wrong_imports("newcomer.rs", ""), ["newcomer.rs: module newcomer has no floor"]);
}

#[test]
fn what_is_allowed_is_not_blamed() {
    for (file, text) in [
        ("lib.rs", "pub use crate::service::Platform;"),
        ("plan/rollout.rs", "use crate::model::{App, Head}; use super::lower::groups; use self::inner::x;"),
        ("service/reconcile/pass.rs", "use super::super::platform::Platform; use crate::state::keys;"),
        (
            "model/app.rs",
            "/// See [`crate::service::Platform`].\n// crate::service\nconst S: &str = \"crate::service\";",
        ),
        ("store/memory.rs", "mod tests { use super::super::limits; use super::*; use ::std::fmt; }"),
        ("model/name.rs", "$crate::name_type! { X }"),
    ] {
        assert_eq!(wrong_imports(file, text), Vec::<String>::new(), "{text}");
    }
}
