//! Build keys: the same tree with the same builder and the same declared environment need not be built again.

use std::{collections::BTreeMap, fs, path::Path, time::UNIX_EPOCH};

use deis_core::{Digest, model::Projection};

use crate::{buildpack::embedded, git::Oid};

/// The stack that builds run on; slugs of one stack are not for another.
pub(crate) const STACK: &str = "deis-1";

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
    Some(key(tree.as_str(), &builders, config))
}

/// The fields that decide what a build makes. Their list has a version: a key must be found again after an update.
fn key(tree: &str, builders: &[String], config: &BTreeMap<String, String>) -> Digest {
    let mut fields = Projection::new("build", 1);
    fields.text("tree", tree);
    fields.text("stack", STACK);
    fields.entries("builder", builders.iter().enumerate());
    fields.entries("config", config);
    fields.digest()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Slugs are kept under these keys: where one changes, everything is built again.
    #[test]
    fn keys_are_what_they_were() {
        let config = [("LEVEL".to_owned(), "3".to_owned())].into();
        let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        assert_eq!(key(tree, &["one".to_owned()], &config).short(), "f49945a1e06d");
        assert_eq!(key(tree, &[], &BTreeMap::new()).short(), "cad45bc337d5");
        assert_ne!(
            key(tree, &["a".to_owned(), "b".to_owned()], &config),
            key(tree, &["ab".to_owned()], &config)
        );
    }
}
