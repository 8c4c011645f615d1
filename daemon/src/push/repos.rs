//! The repositories of all apps, one folder for each life of an app.

use std::{collections::BTreeSet, fs, path::PathBuf};

use deis_build::git::{GitError, Repository};
use deis_core::model::{AppRef, AppUid};
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

    /// The apps that have a repository.
    pub fn apps(&self) -> std::io::Result<BTreeSet<AppUid>> {
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            found.extend(name.strip_suffix(".git").and_then(|n| Uuid::parse_str(n).ok()).map(AppUid));
        }
        Ok(found)
    }

    /// Removes the repository of an app that is gone; having none is fine.
    pub fn forget(&self, app: AppUid) -> std::io::Result<()> {
        let repository = self.path(app);
        if repository.exists() { fs::remove_dir_all(repository) } else { Ok(()) }
    }

    fn path(&self, app: AppUid) -> PathBuf {
        self.0.join(format!("{app}.git"))
    }
}
