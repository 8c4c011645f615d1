//! Folders with all that is in them: private ones, copies of unpacked artifacts, and their removal.
//!
//! Each instance has a copy: apps write where they live, and must not see each other's writes.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::{self, Metadata},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

/// Copies a tree: folders, files and symbolic links with their modes and times, and hard links as links of the copy;
/// nothing else.
///
/// `fs::copy` shares blocks where the file system can (`copy_file_range`), so this is cheap there. Hard links to the
/// artifact's own files are no choice: a write through one would change the artifact.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    copy_folder(from, to, &mut HashMap::new())?;
    // Whatever the artifact's own folder allows: apps write where they live.
    let mode = fs::metadata(to)?.permissions().mode();
    fs::set_permissions(to, fs::Permissions::from_mode(mode | 0o700))
}

/// `linked`: the copies of files that have more than one name.
fn copy_folder(from: &Path, to: &Path, linked: &mut HashMap<(u64, u64), PathBuf>) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let meta = entry.metadata()?;
        if meta.is_dir() {
            copy_folder(&source, &target, linked)?;
        } else if meta.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
            set_time(&target, &meta)?;
        } else if meta.is_file() {
            if meta.nlink() > 1 {
                match linked.entry((meta.dev(), meta.ino())) {
                    Entry::Occupied(first) => {
                        fs::hard_link(first.get(), &target)?;
                        continue;
                    }
                    Entry::Vacant(first) => drop(first.insert(target.clone())),
                }
            }
            fs::copy(&source, &target)?;
            // Compiled files name the time of their source: without this Python compiles all anew at each start.
            set_time(&target, &meta)?;
        }
    }
    // Last: it may forbid to write into the folder, whose time each new entry changes.
    let meta = fs::metadata(from)?;
    fs::set_permissions(to, meta.permissions())?;
    set_time(to, &meta)
}

/// Gives a path the time of last change of another one; a link itself, not what it leads to.
fn set_time(path: &Path, of: &Metadata) -> io::Result<()> {
    let time = Timespec { tv_sec: of.mtime(), tv_nsec: of.mtime_nsec() };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Makes a folder, with its parents, that nobody else can look into.
pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Removes a tree, also one whose folders the app made read-only. Missing: fine.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => {
            make_writable(path);
            fs::remove_dir_all(path)
        }
    }
}

fn make_writable(path: &Path) {
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_equal_and_independent() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::create_dir(from.join("empty")).unwrap();
        fs::write(from.join("a/b/run"), "one").unwrap();
        fs::hard_link(from.join("a/b/run"), from.join("a/same")).unwrap();
        symlink("b/run", from.join("a/link")).unwrap();
        for (name, mode) in [("a/b/run", 0o555), ("a/b", 0o500), ("empty", 0o755), ("a", 0o750)] {
            fs::set_permissions(from.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        for (i, name) in (0..).zip(["a/b/run", "a/link", "a/b", "a", "empty"]) {
            let time = Timespec { tv_sec: 1_000_000 + i, tv_nsec: 7 };
            let times = Timestamps { last_access: time, last_modification: time };
            utimensat(CWD, from.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
        copy_tree(&from, &to).unwrap();
        for name in ["a/b/run", "a/link", "a/b", "a", "a/same", "empty"] {
            let [old, new] = [&from, &to].map(|root| fs::symlink_metadata(root.join(name)).unwrap());
            let seen = |meta: &Metadata| (meta.mode(), meta.mtime(), meta.mtime_nsec());
            assert_eq!(seen(&old), seen(&new), "{name}");
        }
        assert_eq!(fs::read_link(to.join("a/link")).unwrap(), Path::new("b/run"));
        let inode = |name: &str| fs::metadata(to.join(name)).unwrap().ino();
        assert_eq!(inode("a/same"), inode("a/b/run"));
        fs::set_permissions(to.join("a/b/run"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(to.join("a/b/run"), "two").unwrap();
        assert_eq!(fs::read_to_string(to.join("a/same")).unwrap(), "two");
        assert_eq!(fs::read_to_string(from.join("a/b/run")).unwrap(), "one");
        fs::set_permissions(to.join("a"), fs::Permissions::from_mode(0o500)).unwrap();
        remove_tree(&to).unwrap();
        remove_tree(&to).unwrap();
        assert!(!to.exists());
    }
}
