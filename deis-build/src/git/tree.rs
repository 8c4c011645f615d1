//! Reading source from the object database: single files, and a whole tree into a folder.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, symlink},
    path::{Component, Path},
};

use gix::objs::tree::EntryKind;

use super::{
    error::{GitError, Result},
    oid::Oid,
    repo::Repository,
};

/// What an export left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Files written.
    pub files: usize,
    /// Submodules, which are not fetched.
    pub submodules: Vec<String>,
}

impl Repository {
    /// The tree of a commit: what a build is keyed by.
    pub fn tree_of(&self, commit: &Oid) -> Result<Oid> {
        let repo = self.gix()?;
        let commit = repo.find_commit(commit.to_gix()).map_err(GitError::repository)?;
        Ok(Oid::from(commit.tree_id().map_err(GitError::repository)?.detach()))
    }

    /// A file in the root of a commit's tree, if it is there and a file; at most `limit` bytes.
    pub fn root_file(&self, commit: &Oid, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let repo = self.gix()?;
        let commit = repo.find_commit(commit.to_gix()).map_err(GitError::repository)?;
        let tree = commit.tree().map_err(GitError::repository)?;
        for entry in tree.iter() {
            let entry = entry.map_err(GitError::repository)?;
            if entry.filename() != name || !entry.mode().is_blob() {
                continue;
            }
            if entry.id().header().map_err(GitError::repository)?.size() > limit {
                return Err(GitError::Export {
                    path: name.to_owned(),
                    reason: format!("it is larger than {limit} bytes"),
                });
            }
            return Ok(Some(entry.object().map_err(GitError::repository)?.data.clone()));
        }
        Ok(None)
    }

    /// Writes a commit's tree below `folder`, which must be empty.
    pub fn export(&self, commit: &Oid, folder: &Path) -> Result<Exported> {
        let repo = self.gix()?;
        let commit = repo.find_commit(commit.to_gix()).map_err(GitError::repository)?;
        let tree = commit.tree_id().map_err(GitError::repository)?.detach();
        let mut done = Exported::default();
        export_tree(&repo, tree, folder, "", 0, &mut done)?;
        Ok(done)
    }
}

/// Deeper trees than any file system takes are no source.
const MOST_DEPTH: usize = 200;

pub(super) fn export_tree(
    repo: &gix::Repository,
    tree: gix::hash::ObjectId,
    folder: &Path,
    prefix: &str,
    depth: usize,
    done: &mut Exported,
) -> Result<()> {
    let refused =
        |path: &str, reason: &str| GitError::Export { path: path.to_owned(), reason: reason.to_owned() };
    if depth > MOST_DEPTH {
        return Err(refused(prefix, "it is nested too deeply"));
    }
    let tree = repo.find_tree(tree).map_err(GitError::repository)?;
    for entry in tree.iter() {
        let entry = entry.map_err(GitError::repository)?;
        let name =
            std::str::from_utf8(entry.filename()).map_err(|_| refused(prefix, "a name is not UTF-8"))?;
        let path = format!("{prefix}{name}");
        // Checked on receipt too; a folder is no place to trust that.
        let plain = Path::new(name).components().collect::<Vec<_>>();
        if !matches!(plain.as_slice(), [Component::Normal(part)] if **part == *name)
            || name.eq_ignore_ascii_case(".git")
        {
            return Err(refused(&path, "its name is forbidden"));
        }
        let place = folder.join(name);
        match entry.mode().kind() {
            EntryKind::Tree => {
                fs::create_dir(&place)?;
                export_tree(repo, entry.id().detach(), &place, &format!("{path}/"), depth + 1, done)?;
            }
            kind @ (EntryKind::Blob | EntryKind::BlobExecutable) => {
                let mode = if kind == EntryKind::BlobExecutable { 0o755 } else { 0o644 };
                // `create_new` never writes through a link.
                let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&place)?;
                file.write_all(&entry.object().map_err(GitError::repository)?.data)?;
                done.files += 1;
            }
            EntryKind::Link => {
                let object = entry.object().map_err(GitError::repository)?;
                let target = std::str::from_utf8(&object.data)
                    .map_err(|_| refused(&path, "its target is not UTF-8"))?;
                symlink(target, &place)?;
                done.files += 1;
            }
            EntryKind::Commit => done.submodules.push(path),
        }
    }
    Ok(())
}
