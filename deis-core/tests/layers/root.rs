//! What of deis-core is public at its root is what a program that embeds it needs first, and not all that there is.

use super::imports;

/// Most names at the root. Whoever wants one more says which one is less needed.
const MAX_NAMES: usize = 28;

/// What `text` makes public by name at its own level.
fn exports(text: &str) -> Vec<String> {
    let trees = text.split("pub use ").skip(1).filter_map(|after| after.split(';').next());
    trees.flat_map(|tree| imports::paths(&[], &format!("use self::{tree};"))).collect()
}

/// The modules that `text` makes public, each with the line before it, which may be a condition.
fn public_modules(text: &str) -> Vec<(&str, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let module = |line: &'_ str| line.starts_with("pub mod ");
    lines.windows(2).filter(|pair| module(pair[1])).map(|pair| (pair[0], pair[1])).collect()
}

#[test]
fn the_root_has_few_names() {
    let names = exports(include_str!("../../src/lib.rs"));
    assert!((10..=MAX_NAMES).contains(&names.len()), "{}: {names:?}", names.len());
    assert!(!names.iter().any(|name| name.ends_with('*')), "a glob exports by accident: {names:?}");
}

/// How records look may change in any version, so nobody but tests can build on it.
#[test]
fn records_are_public_to_tests_alone() {
    let modules = public_modules(include_str!("../../src/lib.rs"));
    let state: Vec<_> = modules.into_iter().filter(|(_, module)| *module == "pub mod state;").collect();
    assert_eq!(state, [("#[cfg(feature = \"conformance\")]", "pub mod state;")]);
}

/// So may the functions that decide: callers ask for what comes of them.
#[test]
fn of_decisions_only_numbers_and_an_error_are_public() {
    let text = include_str!("../../src/plan/mod.rs");
    let modules: Vec<&str> = public_modules(text).into_iter().map(|(_, module)| module).collect();
    assert_eq!(modules, ["pub mod constants;"]);
    assert_eq!(exports(text), ["release::RollbackError"]);
}
