//! Reads back the kept examples of each kind. A file holds the envelopes of one kind in one version, as they are
//! stored, one a line; it stays for ever, also when the kind gets another version.

#![allow(clippy::disallowed_methods, reason = "a test may block")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::KINDS;
use crate::state::envelope::{self, EnvelopeError, StoredKind};

/// A kind, and how its examples are read and written again.
pub(super) struct Kind {
    name: &'static str,
    version: u32,
    again: fn(&[u8]) -> Result<Vec<u8>, EnvelopeError>,
}

impl Kind {
    pub(super) const fn of<T: StoredKind>() -> Self {
        Self {
            name: T::KIND,
            version: T::VERSION,
            again: |bytes| envelope::seal(&envelope::open::<T>(bytes)?),
        }
    }

    fn file(&self, version: u32) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{}.{version}.jsonl", self.name))
    }
}

#[test]
fn each_version_of_each_kind_is_read() {
    for kind in KINDS {
        for version in 1..=kind.version {
            let file = kind.file(version);
            let kept = fs::read_to_string(&file).unwrap_or_else(|error| {
                panic!("{} has no kept examples; write some into {}: {error}", kind.name, file.display())
            });
            assert!(kept.lines().next().is_some(), "{} is empty", file.display());
            for line in kept.lines() {
                let again = (kind.again)(line.as_bytes()).unwrap_or_else(|error| {
                    panic!("{}: {}\n{line}", file.display(), chain(&error));
                });
                let again = String::from_utf8(again).unwrap();
                if version == kind.version {
                    // Not a bit of it is lost; where a field was added, its kept example has it too.
                    assert_eq!(again, line, "{}", file.display());
                }
            }
        }
    }
}

#[test]
fn there_are_no_examples_of_what_nobody_reads() {
    let known: BTreeSet<PathBuf> =
        KINDS.iter().flat_map(|kind| (1..=kind.version).map(|version| kind.file(version))).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let found: BTreeSet<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(found, known);
}

fn chain(error: &EnvelopeError) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}
