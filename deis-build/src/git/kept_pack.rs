//! A received pack in quarantine, where it stays until its push has the app for itself.

use std::{collections::BTreeSet, ffi::OsString, fs, io, path::Path};

use gix::hash::ObjectId;
use gix_pack::bundle::write::Outcome;

use super::{connectivity, error::Result, limits::Limits, quarantine::Quarantine};

/// A pack in quarantine.
#[derive(Debug)]
pub(super) struct KeptPack {
    pub(super) quarantine: Quarantine,
    pub(super) outcome: Outcome,
    /// Commits at which history ends on the client's side.
    pub(super) shallow: Vec<ObjectId>,
    /// Those of them at which it ends here from now on.
    pub(super) roots: Vec<ObjectId>,
    /// The packs of the repository when this one was checked.
    beside: BTreeSet<OsString>,
}

impl KeptPack {
    pub(super) fn new(
        quarantine: Quarantine,
        outcome: Outcome,
        shallow: Vec<ObjectId>,
        beside: BTreeSet<OsString>,
    ) -> Self {
        Self { quarantine, outcome, shallow, roots: Vec::new(), beside }
    }

    /// Whether something is gone on which the check of this pack may have relied.
    fn is_stale(&self) -> Result<bool> {
        Ok(!self.beside.is_subset(&packs(self.quarantine.main())?))
    }

    /// The reason for which the pack is not whole any more, if so.
    pub(super) fn check_again(&self, view: &gix::Repository, limits: &Limits) -> Result<Option<String>> {
        if !self.is_stale()? {
            return Ok(None);
        }
        Ok(connectivity::check(view, &self.outcome, &self.shallow, limits).err())
    }
}

/// The packs of a repository.
pub(super) fn packs(objects: &Path) -> Result<BTreeSet<OsString>> {
    let entries = match fs::read_dir(objects.join("pack")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        let entry = entry?;
        if entry.path().extension().is_some_and(|e| e == "idx") {
            found.insert(entry.file_name());
        }
    }
    Ok(found)
}
