//! Build keys: the same tree with the same builder and the same declared environment need not be built again.

use std::{collections::BTreeMap, fs, path::Path, time::UNIX_EPOCH};

use deis_core::Digest;
use serde::Serialize;

use crate::{buildpack::embedded, git::Oid};

/// The stack that builds run on; slugs of one stack are not for another.
pub(crate) const STACK: &str = "deis-1";

#[derive(Serialize)]
struct Content<'a> {
    tree: &'a str,
    stack: &'a str,
    builders: Vec<String>,
    config: &'a BTreeMap<String, String>,
}

/// The key of a build; `None` if its buildpack is fetched by a name that can move.
pub(crate) fn build_key(
    tree: &Oid,
    config: &BTreeMap<String, String>,
    fetch: Option<&(String, Option<String>)>,
    folder: Option<&Path>,
) -> Option<Digest> {
    let mut builders = vec![embedded::digest().to_string()];
    match fetch {
        Some((url, Some(reference))) if Oid::new(reference).is_some() => {
            builders.push(format!("{url}#{reference}"));
        }
        Some(_) => return None,
        None => builders.extend(folder.map(fingerprint)),
    }
    let content = Content { tree: tree.as_str(), stack: STACK, builders, config };
    let bytes = serde_json::to_vec(&content).ok()?;
    Some(Digest::of(&bytes))
}

/// What the operator's buildpacks are: their files' names, sizes and times. Reading gigabytes of them for each push
/// would cost more than the build that it saves. `export` is left out, as it is of the copy that a build gets.
fn fingerprint(folder: &Path) -> String {
    let mut parts = Vec::new();
    collect(folder, 0, &mut parts);
    parts.sort();
    Digest::of(parts.join("\n").as_bytes()).to_string()
}

fn collect(folder: &Path, depth: usize, parts: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        let path = entry.path();
        if depth == 1 && entry.file_name() == "export" {
            continue;
        }
        if meta.is_dir() && depth < 3 {
            collect(&path, depth + 1, parts);
        } else {
            let time =
                meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
            parts.push(format!("{} {} {}", path.display(), meta.len(), time.as_nanos()));
        }
    }
}
