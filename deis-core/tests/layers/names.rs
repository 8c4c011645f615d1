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
const RETIRED_VARIANTS: [&str; 7] = ["Stepped", "Blind", "Resting", "Rest", "Ahead", "Settled", "Gone"];

/// Files whose names said too little.
const RETIRED_FILES: [&str; 6] = ["accept", "ask", "control", "leftovers", "pack", "readable"];

/// Types that each stand for one thing in the whole product.
const UNIQUE: [&str; 14] = [
    "Answer",
    "BuildError",
    "Connection",
    "Cursor",
    "Ended",
    "Lines",
    "Outcome",
    "Output",
    "OutputStream",
    "Page",
    "Process",
    "Record",
    "State",
    "Subject",
];

/// The types that `text` defines by themselves: an indented `type` is a trait's, and stands for something else in each
/// `impl`.
fn types(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| {
        let indented = line.starts_with(char::is_whitespace);
        definitions(line).into_iter().filter_map(move |(keyword, name)| match keyword {
            "struct" | "enum" | "union" | "trait" => Some(name),
            "type" if !indented => Some(name),
            _ => None,
        })
    })
}

/// The names that `text` defines: (keyword, name).
fn definitions(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
        let words: Vec<&str> =
            line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            let keyword =
                matches!(pair[0], "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static");
            // In `const fn`, `static mut` and their like the name comes later.
            if keyword && !matches!(pair[1], "fn" | "unsafe" | "async" | "extern" | "mut") {
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
            let follows = |end: &str| text.contains(&format!("{variant}{name}{end}"));
            if [",", " ", ")", ";"].into_iter().any(follows) {
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
    let mut several: BTreeMap<&str, Vec<String>> = BTreeMap::new();
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
                for defined in types(&text) {
                    if let Some(unique) = UNIQUE.iter().find(|unique| **unique == defined) {
                        several.entry(unique).or_default().push(name.clone());
                    }
                }
            }
        });
    }
    wrong.extend(
        several
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
    assert_eq!(wrong_names("x/a.rs", "pub const fn settle() {"), ["x/a.rs: fn settle"]);
    assert_eq!(wrong_names("x/a.rs", "Ok(Progress::Gone) => {"), ["x/a.rs: Progress::Gone"]);
    assert_eq!(wrong_names("x/ask.rs", ""), ["x/ask.rs: the file's name"]);
    assert_eq!(wrong_names("x/a.rs", "// struct Who\nlet settle = 1; struct Whose;"), Vec::<String>::new());
}

#[test]
fn whatever_names_a_type_counts() {
    let text = "pub type Answer = u8;\npub(crate) enum Page {\n    type Output = ();\n    struct Lines;\n// type State = 1;\n";
    assert_eq!(types(text).collect::<Vec<_>>(), ["Answer", "Page", "Lines"]);
}
