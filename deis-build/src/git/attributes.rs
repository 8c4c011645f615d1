//! `export-ignore`: what a source says that it is no part of a build.

use std::path::{Path, PathBuf};

use gix::{
    attrs::{
        Search, StateRef,
        search::{MetadataCollection, Outcome},
    },
    bstr::BStr,
    glob::pattern::Case,
};

/// The `.gitattributes` of a folder and of those above it. Everything else that they say is for clients.
#[derive(Default)]
pub(super) struct Attributes {
    search: Search,
    known: MetadataCollection,
}

/// Name of the file.
pub(super) const NAME: &[u8] = b".gitattributes";

impl Attributes {
    /// Adds the file of the folder `below` (with a slash at its end, or empty at the root).
    pub(super) fn enter(&mut self, below: &Path, text: &[u8]) -> std::io::Result<()> {
        // The names need not exist: they only say where patterns start.
        let root = PathBuf::from("/");
        let source = root.join(below).join(".gitattributes");
        self.search.add_patterns_buffer(
            text,
            source,
            Some(&root),
            &mut self.known,
            below.as_os_str().is_empty(),
        )
    }

    /// Forgets the file that was added last.
    pub(super) fn leave(&mut self) {
        self.search.pop_pattern_list();
    }

    /// Whether an entry stays out.
    pub(super) fn ignore(&self, path: &BStr, is_folder: bool) -> bool {
        if self.search.num_pattern_lists() == 0 {
            return false;
        }
        let mut found = Outcome::default();
        found.initialize_with_selection(&self.known, ["export-ignore"]);
        self.search.pattern_matching_relative_path(path, Case::Sensitive, Some(is_folder), &mut found);
        found.iter_selected().any(|m| m.assignment.state == StateRef::Set)
    }
}
