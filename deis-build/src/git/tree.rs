//! Reading source from the object database: single files, and a whole tree into a folder.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{OpenOptionsExt as _, PermissionsExt as _, symlink},
    },
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use gix::{
    bstr::{BStr, BString, ByteSlice as _},
    hash::ObjectId,
    objs::tree::{EntryKind, EntryRef},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::{
    attributes::{self, Attributes},
    error::{GitError, Result},
    oid::Oid,
    path::{self, shown},
    repo::Repository,
};

/// What an export wrote and left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Files written.
    pub files: usize,
    /// Submodules, which are not fetched.
    pub submodules: Vec<String>,
}

/// How much an export may write. A few objects can name the same folder again and again, so that what is small in a
/// pack has no end on a disk.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Files, links and folders.
    pub entries: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { entries: 200_000, bytes: 2 << 30 }
    }
}

impl Repository {
    /// The tree of a commit: what a build is keyed by.
    ///
    /// # Errors
    /// [`GitError::Repository`]: there is no such commit.
    pub fn tree_of(&self, commit: &Oid) -> Result<Oid> {
        let repo = self.gix()?;
        let commit = repo.find_commit(commit.to_gix()).map_err(GitError::repository)?;
        Ok(Oid::from(commit.tree_id().map_err(GitError::repository)?.detach()))
    }

    /// A file in the root of a commit's tree, if there is one; at most `limit` bytes. A link is refused: what it leads
    /// to is not what its name promises.
    ///
    /// # Errors
    /// [`GitError::Export`] for a link and a file that is too large; [`GitError::Repository`]: there is no such commit.
    pub fn root_file(&self, commit: &Oid, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let repo = self.gix()?;
        let commit = repo.find_commit(commit.to_gix()).map_err(GitError::repository)?;
        let tree = commit.tree().map_err(GitError::repository)?;
        for entry in tree.iter() {
            let entry = entry.map_err(GitError::repository)?;
            if entry.filename() != name || entry.mode().is_tree() {
                continue;
            }
            if !entry.mode().is_blob() {
                return Err(refused(name.as_bytes(), "it must be a file"));
            }
            if entry.id().header().map_err(GitError::repository)?.size() > limit {
                return Err(refused(name.as_bytes(), &format!("it is larger than {limit} bytes")));
            }
            return Ok(Some(entry.object().map_err(GitError::repository)?.data.clone()));
        }
        Ok(None)
    }

    /// Writes a commit's tree below `folder`, which must be empty, without what its `.gitattributes` give the
    /// attribute `export-ignore`.
    ///
    /// Blocks. Setting `cancel` ends it at the next entry; what was written until then stays.
    ///
    /// # Errors
    /// [`GitError::Export`] for what must not be written, or is more than the budget; [`GitError::Cancelled`] after `cancel`;
    /// those of the disk and of the repository.
    pub fn export(
        &self,
        commit: &Oid,
        folder: &Path,
        budget: &Budget,
        cancel: &AtomicBool,
    ) -> Result<Exported> {
        let repo = self.gix()?;
        let commit = repo.find_commit(commit.to_gix()).map_err(GitError::repository)?;
        let tree = commit.tree_id().map_err(GitError::repository)?.detach();
        export_tree(&repo, tree, folder, budget, cancel)
    }
}

/// Writes a tree below `folder`, which must be empty.
pub(super) fn export_tree(
    repo: &gix::Repository,
    tree: ObjectId,
    folder: &Path,
    budget: &Budget,
    cancel: &AtomicBool,
) -> Result<Exported> {
    let mut export = Export {
        repo,
        cancel,
        left: *budget,
        budget,
        now: now()?,
        attributes: Attributes::default(),
        done: Exported::default(),
    };
    export.tree(tree, folder, BStr::new(b""), 0)?;
    Ok(export.done)
}

/// Deeper trees than any file system takes are no source.
const MAX_DEPTH: usize = 200;
/// Most bytes of one `.gitattributes`: each of its lines is kept, and compared with each file of its folder.
const MAX_ATTRIBUTES: u64 = 128 << 10;

struct Export<'a> {
    repo: &'a gix::Repository,
    cancel: &'a AtomicBool,
    budget: &'a Budget,
    left: Budget,
    /// The time of all entries: which of them was written first is no property of the source, and a build keeps the
    /// order of times.
    now: Timestamps,
    attributes: Attributes,
    done: Exported,
}

impl Export<'_> {
    /// Writes the entries of one tree; `prefix` is its path with a slash at the end.
    fn tree(&mut self, tree: ObjectId, folder: &Path, prefix: &BStr, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(refused(prefix, "it is nested too deeply"));
        }
        let tree = self.repo.find_tree(tree).map_err(GitError::repository)?.detach().data;
        let entries = gix::objs::TreeRefIter::from_bytes(&tree, gix::hash::Kind::Sha1);
        let entries = entries.collect::<std::result::Result<Vec<_>, _>>().map_err(GitError::repository)?;
        let own = entries.iter().find(|e| e.filename == attributes::NAME && e.mode.is_blob());
        if let Some(own) = own {
            if self.repo.find_header(own.oid).map_err(GitError::repository)?.size() > MAX_ATTRIBUTES {
                let mut path = BString::from(prefix);
                path.extend_from_slice(attributes::NAME);
                return Err(refused(&path, &format!("it is larger than {} KiB", MAX_ATTRIBUTES >> 10)));
            }
            let text = self.repo.find_object(own.oid).map_err(GitError::repository)?;
            self.attributes.enter(Path::new(OsStr::from_bytes(prefix)), &text.data)?;
        }
        for entry in &entries {
            self.entry(entry, folder, prefix, depth)?;
        }
        if own.is_some() {
            self.attributes.leave();
        }
        Ok(())
    }

    fn entry(&mut self, entry: &EntryRef<'_>, folder: &Path, prefix: &BStr, depth: usize) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(GitError::Cancelled);
        }
        let mut path = BString::from(prefix);
        path.extend_from_slice(entry.filename);
        // Checked on receipt too; a folder is no place to trust that.
        path::check(entry.filename, entry.mode).map_err(|reason| refused(&path, reason))?;
        if self.attributes.ignore(path.as_bstr(), entry.mode.is_tree()) {
            return Ok(());
        }
        let most = self.budget.entries;
        self.left.entries = (self.left.entries.checked_sub(1))
            .ok_or_else(|| refused(&path, &format!("the source has more than {most} files and folders")))?;
        let place = folder.join(OsStr::from_bytes(entry.filename));
        match entry.mode.kind() {
            EntryKind::Tree => {
                fs::create_dir(&place).map_err(|e| written(&path, e))?;
                path.push(b'/');
                self.tree(entry.oid.to_owned(), &place, path.as_bstr(), depth + 1)?;
                // Not what the umask of this process leaves of it.
                fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
                self.stamp(&place)?;
            }
            kind @ (EntryKind::Blob | EntryKind::BlobExecutable) => {
                let data = self.blob(entry, &path)?;
                let mode = if kind == EntryKind::BlobExecutable { 0o755 } else { 0o644 };
                // `create_new` never writes through a link.
                let mut file = fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(mode)
                    .open(&place)
                    .map_err(|e| written(&path, e))?;
                file.write_all(&data)?;
                file.set_permissions(fs::Permissions::from_mode(mode))?;
                self.stamp(&place)?;
                self.done.files += 1;
            }
            EntryKind::Link => {
                let target = self.blob(entry, &path)?;
                if !path::stays_inside(target.as_bstr(), depth) {
                    let reason =
                        format!("it is a link to {}, which may lead out of the source", shown(&target));
                    return Err(refused(&path, &reason));
                }
                symlink(OsStr::from_bytes(&target), &place).map_err(|e| written(&path, e))?;
                self.stamp(&place)?;
                self.done.files += 1;
            }
            EntryKind::Commit => self.done.submodules.push(shown(&path)),
        }
        Ok(())
    }

    fn stamp(&self, place: &Path) -> Result<()> {
        utimensat(CWD, place, &self.now, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| GitError::Io(e.into()))
    }

    /// The contents of a file, if the budget allows for them.
    fn blob(&mut self, entry: &EntryRef<'_>, path: &[u8]) -> Result<Vec<u8>> {
        let size = self.repo.find_header(entry.oid).map_err(GitError::repository)?.size();
        let most = self.budget.bytes >> 20;
        self.left.bytes = (self.left.bytes.checked_sub(size))
            .ok_or_else(|| refused(path, &format!("the source is larger than {most} MiB")))?;
        Ok(self.repo.find_object(entry.oid).map_err(GitError::repository)?.detach().data)
    }
}

fn now() -> Result<Timestamps> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let seconds = i64::try_from(since.as_secs()).map_err(io::Error::other)?;
    let time = Timespec { tv_sec: seconds, tv_nsec: since.subsec_nanos().into() };
    Ok(Timestamps { last_access: time, last_modification: time })
}

fn refused(path: &[u8], reason: &str) -> GitError {
    GitError::Export { path: shown(path), reason: reason.to_owned() }
}

fn written(path: &[u8], error: io::Error) -> GitError {
    // The folder was empty: whoever is there stands twice in its tree.
    if error.kind() == io::ErrorKind::AlreadyExists {
        return refused(path, "it stands in its folder twice");
    }
    if error.kind() == io::ErrorKind::InvalidFilename {
        return refused(path, "its name or its path is longer than a file system takes");
    }
    GitError::Io(error)
}
