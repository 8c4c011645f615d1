//! Names: those of a private vocabulary are gone, and no name of a type stands for several things.

use std::{collections::BTreeMap, fs, path::Path};

use super::visit;

/// Types and functions that had a name of our own where the field has a word.
const RETIRED: [&str; 37] = [
    "Bench",
    "Caps",
    "Deed",
    "Diary",
    "Elsewhere",
    "Endings",
    "Family",
    "Front",
    "Held",
    "Intake",
    "Kit",
    "Life",
    "Moody",
    "Moved",
    "Pace",
    "Patient",
    "Place",
    "Printed",
    "Rig",
    "Slot",
    "Stamped",
    "Stretch",
    "Trace",
    "Turn",
    "Turns",
    "View",
    "Visit",
    "Voice",
    "Volatile",
    "Which",
    "Who",
    "Wire",
    "announce",
    "is_harmless",
    "keep_house",
    "refusal",
    "remember",
];

/// Functions only: the words are common as names of other things.
const RETIRED_FUNCTIONS: [&str; 3] = ["rests", "say", "settle"];

/// Variants of the enums that tell what a pass came to and what comes next.
const RETIRED_VARIANTS: [&str; 6] = ["Stepped", "Blind", "Resting", "Rest", "Ahead", "Settled"];

/// Files whose names said too little.
const RETIRED_FILES: [&str; 6] = ["accept", "ask", "control", "leftovers", "pack", "readable"];

/// Types that each stand for one thing in the whole product.
const UNIQUE: [&str; 10] =
    ["Answer", "BuildError", "Ended", "Lines", "Outcome", "Output", "Page", "Process", "State", "Subject"];

/// The names that `text` defines: (keyword, name).
fn definitions(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
        let words: Vec<&str> =
            line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            if matches!(pair[0], "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static") {
                found.push((pair[0], pair[1]));
                break;
            }
        }
    }
    found
}

/// What is wrong with the definitions of one file.
fn wrong_names(file: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (keyword, name) in definitions(text) {
        let is_function = keyword == "fn";
        let constant = matches!(keyword, "const" | "static") && name.starts_with("MOST_");
        if constant || RETIRED.contains(&name) || (is_function && RETIRED_FUNCTIONS.contains(&name)) {
            wrong.push(format!("{file}: {keyword} {name}"));
        }
    }
    let variants = ["Progress::", "Step::", "WorkloadRole::"];
    for name in RETIRED_VARIANTS {
        for variant in variants {
            if text.contains(&format!("{variant}{name},")) || text.contains(&format!("{variant}{name} ")) {
                wrong.push(format!("{file}: {variant}{name}"));
            }
        }
    }
    let stem = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".rs");
    if RETIRED_FILES.contains(&stem) {
        wrong.push(format!("{file}: the file's name"));
    }
    wrong
}

#[test]
fn retired_names_are_gone() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut wrong = Vec::new();
    let mut types: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (folder, product) in [
        ("deis-core", true),
        ("deis-k8s", true),
        ("deis-build", true),
        ("daemon", true),
        ("examples", false),
        ("benches", false),
    ] {
        visit(&workspace.join(folder), &mut |path| {
            let name = path.strip_prefix(workspace).unwrap().to_str().unwrap().to_owned();
            if name.ends_with("layers/names.rs") {
                return; // This list itself.
            }
            let text = fs::read_to_string(path).unwrap();
            wrong.extend(wrong_names(&name, &text));
            if product && name.contains("/src/") {
                for (keyword, defined) in definitions(&text) {
                    let unique = UNIQUE.iter().find(|u| **u == defined);
                    if let Some(unique) = unique.filter(|_| matches!(keyword, "struct" | "enum" | "trait")) {
                        types.entry(unique).or_default().push(name.clone());
                    }
                }
            }
        });
    }
    wrong.extend(
        types
            .iter()
            .filter(|(_, files)| files.len() > 1)
            .map(|(name, files)| format!("{name} stands in {}", files.join(", "))),
    );
    super::assert_remaining("names to change", wrong, include_str!("remaining_names.txt"));
}

#[test]
fn a_retired_name_is_found() {
    assert_eq!(wrong_names("x/a.rs", "pub(crate) struct Who<'a> {"), ["x/a.rs: struct Who"]);
    assert_eq!(wrong_names("x/a.rs", "    pub async fn settle(&self) {"), ["x/a.rs: fn settle"]);
    assert_eq!(wrong_names("x/a.rs", "const MOST_ENV: usize = 1;"), ["x/a.rs: const MOST_ENV"]);
    assert_eq!(wrong_names("x/ask.rs", ""), ["x/ask.rs: the file's name"]);
    assert_eq!(wrong_names("x/a.rs", "// struct Who\nlet settle = 1; struct Whose;"), Vec::<String>::new());
}
