//! A bare repository of an app.

use std::{
    fs,
    path::{Path, PathBuf},
};

use deis_core::RefUpdate;
use gix::{
    bstr::ByteSlice as _,
    refs::{
        FullName, Target,
        transaction::{PreviousValue, RefEdit},
    },
};

use super::{
    error::{GitError, Result},
    oid::Oid,
};

/// A bare repository. Opened anew for each operation, which costs less than a millisecond.
#[derive(Clone, Debug)]
pub struct Repository {
    path: PathBuf,
}

/// Why one ref was not moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefRefused {
    /// Full name of the ref.
    pub name: String,
    /// Why, in git's words.
    pub reason: String,
}

impl Repository {
    /// The repository at `path`, made there if nothing is.
    pub fn open_or_create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if !path.join("HEAD").exists() {
            let parent = path.parent().unwrap_or(&path).to_path_buf();
            fs::create_dir_all(&parent)?;
            // Made aside and then named, so that nobody meets half a repository.
            let fresh = tempfile::Builder::new().prefix(".new-").tempdir_in(parent)?;
            gix::ThreadSafeRepository::init_opts(
                fresh.path().join("repo"),
                gix::create::Kind::Bare,
                gix::create::Options::default(),
                gix::open::Options::isolated(),
            )
            .map_err(GitError::repository)?;
            if let Err(error) = fs::rename(fresh.path().join("repo"), &path) {
                // Two first pushes at once: the other one made it.
                if !path.join("HEAD").exists() {
                    return Err(error.into());
                }
            }
        }
        Ok(Self { path })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where HEAD or a full ref name points.
    pub fn resolve(&self, name: &str) -> Result<Option<Oid>> {
        let repo = self.gix()?;
        let found = repo.try_find_reference(name).map_err(GitError::repository)?;
        Ok(found.and_then(|mut r| r.peel_to_id().ok().map(|id| Oid::from(id.detach()))))
    }

    /// Moves refs, each only from where it was; with `atomic` all or none. A ref that is there already is fine, so
    /// that a push whose answer was lost can be finished again.
    pub fn update_refs(&self, updates: &[RefUpdate], atomic: bool) -> Result<Vec<RefRefused>> {
        let repo = self.gix()?;
        let mut refused = Vec::new();
        let mut edits = Vec::new();
        for update in updates {
            if self.resolve(&update.name)?.as_ref().map(Oid::as_str) == update.new.as_deref() {
                continue;
            }
            match edit(update) {
                Some(edit) => edits.push((update, edit)),
                None => {
                    refused
                        .push(RefRefused { name: update.name.clone(), reason: "funny refname".to_owned() });
                }
            }
        }
        if atomic {
            let names: Vec<String> = edits.iter().map(|(update, _)| update.name.clone()).collect();
            if repo.edit_references(edits.into_iter().map(|(_, edit)| edit)).is_err() {
                refused.extend(names.into_iter().map(|name| RefRefused { name, reason: FAILED.to_owned() }));
            }
        } else {
            for (update, edit) in edits {
                if repo.edit_reference(edit).is_err() {
                    refused.push(RefRefused { name: update.name.clone(), reason: FAILED.to_owned() });
                }
            }
        }
        Ok(refused)
    }

    /// Makes HEAD name `branch` when it names nothing that exists, so that a clone checks something out.
    pub fn adopt_head(&self, branch: &str) -> Result<()> {
        let head = fs::read_to_string(self.path.join("HEAD"))?;
        let named = head.strip_prefix("ref: ").map(str::trim).unwrap_or_default();
        if !named.is_empty() && self.resolve(named)?.is_some() {
            return Ok(());
        }
        let fresh = self.path.join("HEAD.new");
        fs::write(&fresh, format!("ref: {branch}\n"))?;
        Ok(fs::rename(fresh, self.path.join("HEAD"))?)
    }

    /// Removes what a killed process left of unfinished pushes. Only while no push is under way.
    pub fn sweep(&self) -> Result<()> {
        for entry in fs::read_dir(self.path.join("objects"))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(super::quarantine::PREFIX) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// The plumbing, isolated from the host's git configuration and environment.
    pub(super) fn gix(&self) -> Result<gix::Repository> {
        let options = gix::open::Options::isolated()
            .bail_if_untrusted(false)
            .open_path_as_is(true)
            .config_overrides(["user.name=deis", "user.email=deis@localhost"]);
        let mut repo = gix::open_opts(&self.path, options).map_err(GitError::repository)?;
        repo.object_cache_size_if_unset(16 << 20);
        Ok(repo)
    }
}

const FAILED: &str = "failed to update ref: it has moved since";

fn edit(update: &RefUpdate) -> Option<RefEdit> {
    let name = FullName::try_from(update.name.as_bytes().as_bstr()).ok()?;
    let id = |hex: &Option<String>| hex.as_deref().and_then(Oid::new).map(|oid| oid.to_gix());
    let previous = match id(&update.old) {
        Some(old) => PreviousValue::MustExistAndMatch(Target::Object(old)),
        None if update.old.is_none() && update.new.is_some() => PreviousValue::MustNotExist,
        None => PreviousValue::Any,
    };
    Some(match id(&update.new) {
        Some(new) => RefEdit::update(name, new, previous, "push"),
        None => RefEdit::delete(name, previous),
    })
}
