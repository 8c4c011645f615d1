//! The repositories of all apps, one folder for each life of an app.

use std::{collections::BTreeSet, fs, path::PathBuf};

use deis_build::git::{GitError, Repository};
use deis_core::{AppRef, AppUid};
use uuid::Uuid;

/// The folder of the repositories.
#[derive(Clone, Debug)]
pub struct Repos(PathBuf);

impl Repos {
    /// Repositories below `folder`. Removes what unfinished pushes of a killed daemon left in them.
    pub fn open_all(folder: impl Into<PathBuf>) -> Result<Self, GitError> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
                fs::remove_dir_all(path)?;
            } else if path.join("objects").is_dir() {
                Repository::open_or_create(path)?.sweep()?;
            }
        }
        Ok(Self(folder))
    }

    /// The repository of an app, made if there is none yet.
    pub fn open(&self, app: &AppRef) -> Result<Repository, GitError> {
        Repository::open_or_create(self.path(app.uid))
    }

    /// Removes the repositories of apps that are not in `alive`.
    pub fn prune(&self, alive: &BTreeSet<AppUid>) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let uid = name.strip_suffix(".git").and_then(|n| Uuid::parse_str(n).ok()).map(AppUid);
            if uid.is_some_and(|uid| !alive.contains(&uid)) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, app: AppUid) -> PathBuf {
        self.0.join(format!("{app}.git"))
    }
}
