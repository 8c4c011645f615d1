//! What builds keep for the next build of the same app.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use deis_core::model::AppUid;
use uuid::Uuid;

use crate::folders::{remove_tree, usage};

/// The caches of all apps. A cache is either here or in the depot of the build that uses it, never in both.
#[derive(Clone, Debug)]
pub(crate) struct Caches {
    folder: PathBuf,
    max_bytes: u64,
}

impl Caches {
    /// Caches below `folder`, which is made when needed.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn open(folder: PathBuf, max_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, max_bytes })
    }

    /// Moves an app's cache to `place`; without one, or with one that is too large or not wanted, an empty folder.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn take(&self, app: AppUid, place: &Path, wanted: bool) -> io::Result<()> {
        let kept = self.path(app);
        if !wanted || usage(&kept).bytes > self.max_bytes {
            remove_tree(&kept)?;
        }
        match fs::rename(&kept, place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(place),
            moved => moved,
        }
    }

    /// Moves it back, in place of any other.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn put_back(&self, app: AppUid, place: &Path) -> io::Result<()> {
        // A build may have put anything into the place of its cache.
        if !fs::symlink_metadata(place).is_ok_and(|meta| meta.is_dir()) {
            return Ok(());
        }
        let kept = self.path(app);
        remove_tree(&kept)?;
        fs::rename(place, kept)
    }

    /// The apps that have a cache.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn apps(&self) -> io::Result<BTreeSet<AppUid>> {
        let names = fs::read_dir(&self.folder)?.map(|e| Ok(e?.file_name().to_string_lossy().into_owned()));
        let names: Vec<String> = names.collect::<io::Result<_>>()?;
        Ok(names.iter().filter_map(|name| Uuid::parse_str(name).ok()).map(AppUid).collect())
    }

    /// Removes the cache of an app that is gone; having none is fine.
    ///
    /// # Errors
    /// What the file system says of an entry that stays.
    pub(crate) fn forget(&self, app: AppUid) -> io::Result<()> {
        remove_tree(&self.path(app))
    }

    fn path(&self, app: AppUid) -> PathBuf {
        self.folder.join(app.to_string())
    }
}
