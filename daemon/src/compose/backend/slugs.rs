//! Slugs in a folder of this machine: packed in an object store, unpacked beside it.

use std::{io, path::Path, sync::Arc};

use deis_build::{Artifacts, SlugFolders};
use object_store::{ObjectStore, local::LocalFileSystem};

use crate::{
    compose::{StartError, open},
    datadir::DataDir,
};

/// What is kept of builds in a data folder: slugs, and what builds printed.
pub(super) fn open_objects(data: &DataDir) -> Result<Arc<dyn ObjectStore>, StartError> {
    let objects = data.join("objects");
    std::fs::create_dir_all(&objects).map_err(open("the object store"))?;
    let store = LocalFileSystem::new_with_prefix(objects).map_err(open("the object store"))?;
    Ok(Arc::new(store.with_automatic_cleanup(true).with_fsync(true)))
}

/// The same, unpacked.
pub(super) fn open_folders(data: &DataDir, artifacts: &Artifacts) -> Result<SlugFolders, StartError> {
    SlugFolders::open(artifacts.clone(), data.join("unpacked")).map_err(open("the unpacked slugs"))
}

/// Removes what a killed daemon was writing into the object store: its files are staged as `name#1` beside their place.
/// Nobody else has the data folder.
pub(super) fn remove_staged(data: &DataDir) -> Result<(), StartError> {
    remove_staged_below(&data.join("objects")).map_err(open("the object store"))
}

fn remove_staged_below(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_staged_below(&entry.path())?;
        } else if entry
            .file_name()
            .to_string_lossy()
            .rsplit_once('#')
            .is_some_and(|(_, n)| n.parse::<u64>().is_ok())
        {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_being_written_is_removed_and_what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let slugs = folder.path().join("slugs");
        std::fs::create_dir(&slugs).unwrap();
        for name in ["a.tar.zst", "a.tar.zst#1", "b#x"] {
            std::fs::write(slugs.join(name), "").unwrap();
        }
        remove_staged_below(folder.path()).unwrap();
        assert!(slugs.join("a.tar.zst").exists() && slugs.join("b#x").exists());
        assert!(!slugs.join("a.tar.zst#1").exists());
    }
}
