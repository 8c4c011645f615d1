//! The rooms of the local back end use each other in one direction.

use std::{collections::BTreeSet, fs, path::Path};

use super::{imports, visit};

/// The rooms, the lowest first: each may use those before it. What lies beside them is below all.
const ROOMS: [&str; 7] = ["run_dir", "shim", "process", "task", "table", "instance", "scheduler"];

/// The rooms above its own that a file of `local` names.
fn wrong_rooms(file: &str, text: &str) -> Vec<String> {
    let module = imports::module_of(file);
    let place = |name: &String| ROOMS.iter().position(|room| room == name);
    let own = module.get(1).and_then(place);
    let paths = imports::paths(&module, text).into_iter().filter_map(|path| {
        let room = path.strip_prefix("local::")?.split("::").next()?.to_owned();
        Some((place(&room)?, room))
    });
    let above: BTreeSet<String> =
        paths.filter(|(there, _)| own.is_none_or(|own| *there > own)).map(|(_, room)| room).collect();
    above.into_iter().map(|room| format!("{file} must not use {room}")).collect()
}

#[test]
fn rooms_are_used_from_above_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    visit(&root.join("local"), &mut |path| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        seen.extend(imports::module_of(name).get(1).cloned());
        if name != "local/mod.rs" {
            wrong.extend(wrong_rooms(name, &fs::read_to_string(path).unwrap()));
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ROOMS.iter().all(|room| seen.contains(*room)), "a room has another name now: {seen:?}");
}

#[test]
fn a_room_that_is_used_from_below_is_found() {
    let found = |file, text| wrong_rooms(file, text);
    assert_eq!(
        found("local/shim/task.rs", "use crate::local::{run_dir::wire, task::run};"),
        ["local/shim/task.rs must not use task"]
    );
    assert_eq!(found("local/tree.rs", "use super::run_dir::lock;"), ["local/tree.rs must not use run_dir"]);
    assert_eq!(
        found("local/task/run.rs", "use super::table; use crate::local::shim::Spec;"),
        Vec::<String>::new()
    );
}
