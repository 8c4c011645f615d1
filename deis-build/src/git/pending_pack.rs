//! A received pack from the moment when its push has the app for itself until the push has ended.
//!
//! It moves from quarantine among the objects, marked as pending: as long as the mark is there no ref names what it
//! brought, and it goes again if the push fails.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use gix::hash::ObjectId;

use super::{
    error::{GitError, Result},
    received::Received,
    repo::Repository,
};

/// Ending of the file that marks a pack of which no ref knows yet. It holds the identity of the push.
const PENDING: &str = "pending";

/// A pack among the objects of which no ref knows yet.
#[derive(Clone, Debug)]
pub struct PendingPack {
    /// Where it is, without an ending.
    stem: PathBuf,
    roots: Vec<ObjectId>,
}

impl Repository {
    /// Moves the pack of a push among the objects, durable; `None` if it brought nothing new. `push` is the identity of
    /// the push, by which [`Repository::discard_of`] finds it after a kill.
    ///
    /// Only while the push has its app for itself.
    ///
    /// # Errors
    ///
    /// Those of the disk. Nothing stays behind then but what [`Repository::discard_of`] removes.
    pub fn store(&self, received: &mut Received, push: &str) -> Result<Option<PendingPack>> {
        let Some(kept) = received.pack.take() else { return Ok(None) };
        let (Some(pack), Some(index)) = (&kept.outcome.data_path, &kept.outcome.index_path) else {
            return Ok(None);
        };
        let target = kept.quarantine.main().join("pack");
        fs::create_dir_all(&target)?;
        let name = index.file_stem().ok_or_else(|| GitError::Protocol("a pack without a name".to_owned()))?;
        let stem = target.join(name);
        let place = |ending: &str| stem.with_extension(ending);
        if place("idx").exists() {
            return Ok(None);
        }
        // The mark first, the index last: that makes the pack visible.
        let mut mark = tempfile::NamedTempFile::new_in(kept.quarantine.main())?;
        io::Write::write_all(&mut mark, push.as_bytes())?;
        mark.as_file().sync_all()?;
        mark.persist(place(PENDING)).map_err(|e| e.error)?;
        for (file, ending) in [(pack, "pack"), (index, "idx")] {
            File::open(file)?.sync_all()?;
            fs::rename(file, place(ending))?;
        }
        File::open(&target)?.sync_all()?;
        if !kept.roots.is_empty() {
            self.change_shallow(&kept.roots, gix_shallow::Update::Shallow)?;
        }
        Ok(Some(PendingPack { stem, roots: kept.roots.clone() }))
    }

    /// Keeps a pack for good. To be called, and to succeed, before a ref names what it brought.
    ///
    /// # Errors
    ///
    /// Those of the disk; the pack is pending still.
    pub fn keep(&self, pack: &PendingPack) -> Result<()> {
        fs::remove_file(pack.stem.with_extension(PENDING)).or_else(absent)?;
        Ok(File::open(self.path().join("objects/pack"))?.sync_all()?)
    }

    /// Removes a pack that no ref needs.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn discard(&self, pack: &PendingPack) -> Result<()> {
        if !pack.roots.is_empty() {
            self.change_shallow(&pack.roots, gix_shallow::Update::Unshallow)?;
        }
        remove(&pack.stem)
    }

    /// Removes the packs that a killed process left pending for `push`.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn discard_of(&self, push: &str) -> Result<()> {
        let entries = match fs::read_dir(self.path().join("objects/pack")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == PENDING) && fs::read(&path)? == push.as_bytes() {
                remove(&path.with_extension(""))?;
            }
        }
        Ok(())
    }

    /// Keeps the packs that a killed process left pending for `push`: its refs are about to move.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn keep_of(&self, push: &str) -> Result<()> {
        let folder = self.path().join("objects/pack");
        if !folder.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == PENDING) && fs::read(&path)? == push.as_bytes() {
                self.keep(&PendingPack { stem: path.with_extension(""), roots: Vec::new() })?;
            }
        }
        Ok(())
    }

    fn change_shallow(&self, ids: &[ObjectId], change: fn(ObjectId) -> gix_shallow::Update) -> Result<()> {
        let file = self.gix()?.shallow_file().map_err(GitError::repository)?;
        let lock = gix::lock::File::acquire_to_update_resource(
            &file,
            gix::lock::acquire::Fail::AfterDurationWithBackoff(std::time::Duration::from_secs(5)),
            None,
            0,
        )
        .map_err(GitError::repository)?;
        let present = gix_shallow::read(&file).map_err(GitError::repository)?;
        let updates: Vec<_> = ids.iter().map(|id| change(*id)).collect();
        gix_shallow::write(lock, present, &updates).map_err(GitError::repository)
    }
}

/// The index first: without it nobody sees the pack. The mark last, so that a kill between leaves what can be found.
fn remove(stem: &Path) -> Result<()> {
    for ending in ["idx", "pack", PENDING] {
        fs::remove_file(stem.with_extension(ending)).or_else(absent)?;
    }
    Ok(())
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
