//! A bare repository of an app.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use deis_core::{
    model::RefUpdate,
    os::{Durability, replace_file},
};
use gix::{
    bstr::ByteSlice as _,
    refs::{
        FullName, Target,
        transaction::{PreviousValue, RefEdit},
    },
};

use super::{
    error::{GitError, Result, is_disk_full},
    oid::Oid,
};

/// A bare repository. Opened anew for each operation, which costs less than a millisecond.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use deis_build::git::{Limits, Repository, Service};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let repository = Repository::open_or_create(folder.path().join("app.git"))?;
/// let mut greeting = Vec::new();
/// repository.advertise(Service::ReceivePack, false, &mut greeting)?;
/// // … goes to the client; what that sends is read, and nothing has moved yet.
/// let answer = &b"0000"[..];
/// let received = repository.receive(answer, &Limits::default(), &AtomicBool::new(false))?;
/// assert!(received.is_none(), "this client had nothing to push");
/// # Ok(())
/// # }
/// ```
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
    ///
    /// # Errors
    /// [`GitError::Io`] and [`GitError::Repository`]: its folder cannot be made.
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
            // Nothing here runs hooks: there shall be no place that looks as if.
            match fs::remove_dir_all(fresh.path().join("repo/hooks")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
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
    ///
    /// # Errors
    /// [`GitError::Repository`]: it cannot be opened, or the ref cannot be read.
    pub fn resolve(&self, name: &str) -> Result<Option<Oid>> {
        let repo = self.gix()?;
        let found = repo.try_find_reference(name).map_err(GitError::repository)?;
        Ok(found.and_then(|mut r| r.peel_to_id().ok().map(|id| Oid::from(id.detach()))))
    }

    /// Moves refs, each only from where it was; with `atomic` all or none. A ref that is there already is fine, so
    /// that a push whose answer was lost can be finished again.
    ///
    /// # Errors
    /// [`GitError::Repository`]: it cannot be opened. What does not move is in the answer.
    pub fn update_refs(&self, updates: &[RefUpdate], atomic: bool) -> Result<Vec<RefRefused>> {
        let repo = self.gix()?;
        let mut refused = Vec::new();
        let mut edits = Vec::new();
        for update in updates {
            if Oid::of_ref(&repo, &update.name).as_ref().map(Oid::as_str) == update.new.as_deref() {
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
            let wanted: Vec<&RefUpdate> = edits.iter().map(|(update, _)| *update).collect();
            if let Err(error) = repo.edit_references(edits.into_iter().map(|(_, edit)| edit)) {
                tracing::warn!(path = %self.path.display(), error = format!("{error:#}"), "refs did not move");
                refused.extend(wanted.into_iter().map(|update| not_moved(&repo, update, &error)));
            }
        } else {
            for (update, edit) in edits {
                if let Err(error) = repo.edit_reference(edit) {
                    tracing::warn!(path = %self.path.display(), error = format!("{error:#}"), "a ref did not move");
                    refused.push(not_moved(&repo, update, &error));
                }
            }
        }
        Ok(refused)
    }

    /// Makes HEAD name `branch` when it names nothing that exists, so that a clone checks something out.
    ///
    /// # Errors
    /// [`GitError::Io`] and [`GitError::Repository`]: HEAD cannot be read or written.
    pub fn adopt_head(&self, branch: &str) -> Result<()> {
        let head = fs::read_to_string(self.path.join("HEAD"))?;
        let named = head.strip_prefix("ref: ").map(str::trim).unwrap_or_default();
        if !named.is_empty() && self.resolve(named)?.is_some() {
            return Ok(());
        }
        let text = format!("ref: {branch}\n");
        Ok(replace_file(&self.path.join("HEAD"), text.as_bytes(), Durability::Machine)?)
    }

    /// Removes what a killed process left of unfinished pushes, its locks among it, which nobody would ever release.
    /// Only while no push is under way.
    ///
    /// # Errors
    /// [`GitError::Io`]: something cannot be removed.
    pub fn sweep(&self) -> Result<()> {
        for name in ["packed-refs.lock", "HEAD.lock", "shallow.lock", "HEAD.new"] {
            fs::remove_file(self.path.join(name)).or_else(absent)?;
        }
        remove_locks(&self.path.join("refs"))?;
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
            // A replaced object would not be the one that was checked.
            .config_overrides(["user.name=deis", "user.email=deis@localhost", "core.useReplaceRefs=false"]);
        let mut repo = gix::open_opts(&self.path, options).map_err(GitError::repository)?;
        repo.object_cache_size_if_unset(16 << 20);
        Ok(repo)
    }
}

fn not_moved(
    repo: &gix::Repository,
    update: &RefUpdate,
    error: &(dyn std::error::Error + 'static),
) -> RefRefused {
    let moved = Oid::of_ref(repo, &update.name).as_ref().map(Oid::as_str) != update.old.as_deref();
    let reason = if moved {
        "failed to update ref: it has moved since"
    } else if is_disk_full(error) {
        "failed to update ref: the disk of the platform is full"
    } else {
        "failed to update ref: it is locked or cannot be written"
    };
    RefRefused { name: update.name.clone(), reason: reason.to_owned() }
}

fn remove_locks(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_locks(&path)?;
        } else if path.extension().is_some_and(|e| e == "lock") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

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
