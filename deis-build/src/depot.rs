//! The files that a build and the platform exchange: five names, each written once.
//!
//! Who builds knows only where its depot is (`DEIS_DEPOT`), and nothing else of the platform. Here a depot is a folder,
//! and the trees in it are used in place; a builder on another host will get the same five names over HTTP.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt as _, symlink},
    path::{Path, PathBuf},
};

use deis_core::model::{AppUid, Attempt};

use crate::folders::remove_tree;

/// The variable that tells a builder where its depot is.
pub const DEPOT: &str = "DEIS_DEPOT";

/// What opens a depot: one build of one life of an app. It is good for one depot, and gone with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) app: AppUid,
    pub(crate) attempt: Attempt,
}

impl Ticket {
    /// The folder of its depot below `parent`: where the task runner tells the builder to look.
    fn folder(self, parent: &Path) -> PathBuf {
        parent.join(self.app.to_string()).join(self.attempt.to_string())
    }

    /// The tickets whose depots are below `parent`, each app's in the order of their attempts.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn below(parent: &Path) -> io::Result<Vec<(Self, Depot)>> {
        let mut found = Vec::new();
        for app in fs::read_dir(parent)? {
            let app = app?;
            let Ok(uid) = uuid::Uuid::parse_str(&app.file_name().to_string_lossy()) else { continue };
            for attempt in fs::read_dir(app.path())? {
                let attempt = attempt?;
                let number = attempt.file_name().to_string_lossy().parse().map(Attempt);
                let ticket = number.map(|attempt| Self { app: AppUid(uid), attempt });
                found.extend(ticket.ok().map(|ticket| (ticket, Depot { folder: attempt.path() })));
            }
        }
        found.sort_by_key(|(ticket, _)| ticket.attempt);
        Ok(found)
    }
}

/// The five names of one build.
#[derive(Clone, Debug)]
pub(crate) struct Depot {
    folder: PathBuf,
}

impl Depot {
    /// A new depot below `parent`, which nobody else can look into.
    ///
    /// # Errors
    /// `AlreadyExists` for a ticket that was used.
    pub(crate) fn create(parent: &Path, ticket: Ticket) -> io::Result<Self> {
        let folder = ticket.folder(parent);
        let attempt = || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.parent().unwrap_or(parent))?;
            fs::DirBuilder::new().mode(0o700).create(&folder)
        };
        // The app's last depot may be going, and take the folder of the app's depots with it.
        let first = attempt();
        if first.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) { attempt() } else { first }?;
        Ok(Self { folder })
    }

    /// The depot of the builder that this process is.
    ///
    /// # Errors
    /// Nobody has told this process where its depot is.
    pub(crate) fn of_this_builder() -> io::Result<Self> {
        let folder = env::var_os(DEPOT).map(PathBuf::from).filter(|folder| folder.is_absolute());
        let folder = folder.ok_or_else(|| io::Error::other(format!("{DEPOT} names no folder")))?;
        Ok(Self { folder })
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The source, written by the platform; the built app after it.
    pub(crate) fn source(&self) -> PathBuf {
        self.folder.join("source")
    }

    /// What the last build of the app kept for this one, and this one for the next.
    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    /// The operator's buildpacks, each a folder; tried in the order of their names.
    pub(crate) fn buildpacks(&self) -> PathBuf {
        self.folder.join("buildpacks")
    }

    /// The packed slug, written by the builder.
    pub(crate) fn slug(&self) -> PathBuf {
        self.folder.join("slug")
    }

    /// What came of the build, written by the builder.
    pub(crate) fn result(&self) -> PathBuf {
        self.folder.join("result.json")
    }

    /// Gives the build the operator's buildpacks, which are used where they are.
    ///
    /// # Errors
    /// The folder does not exist.
    pub(crate) fn give_buildpacks(&self, folder: &Path) -> io::Result<()> {
        symlink(folder.canonicalize()?, self.buildpacks())
    }

    /// Removes it with all that is in it.
    ///
    /// # Errors
    /// What the file system says of an entry that stays.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_tree(&self.folder)?;
        // Goes with the app's last depot; as long as there are others it stays.
        let _ = self.folder.parent().map(fs::remove_dir);
        Ok(())
    }
}
