//! Private copies of unpacked artifacts: apps write where they live, and must not see each other's writes.

use std::{
    fs::{self, File, FileTimes},
    io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

/// Copies a tree: folders, files with their modes and times, symbolic links as they are; nothing else.
///
/// `fs::copy` shares blocks where the file system can (`copy_file_range`), so this is cheap there. Hard links
/// are no choice: a write through one would change the artifact.
pub(super) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target)?;
            // Compiled files name the time of their source: without this Python compiles all anew at each start.
            let times = FileTimes::new().set_modified(entry.metadata()?.modified()?);
            set_times(&target, times)?;
        }
    }
    let mode = fs::metadata(from)?.permissions().mode();
    fs::set_permissions(to, fs::Permissions::from_mode(mode | 0o700))
}

fn set_times(path: &Path, times: FileTimes) -> io::Result<()> {
    // A file without any write permission can be opened for reading, and its owner may set its times.
    File::open(path)?.set_times(times)
}

/// Removes a tree, also one whose folders the app made read-only. Missing: fine.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
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
        fs::write(from.join("a/b/run"), "one").unwrap();
        fs::set_permissions(from.join("a/b/run"), fs::Permissions::from_mode(0o555)).unwrap();
        symlink("b/run", from.join("a/link")).unwrap();
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        set_times(&from.join("a/b/run"), FileTimes::new().set_modified(long_ago)).unwrap();
        copy_tree(&from, &to).unwrap();
        let made = fs::metadata(to.join("a/b/run")).unwrap();
        assert_eq!(made.permissions().mode() & 0o777, 0o555);
        assert_eq!(made.modified().unwrap(), long_ago);
        assert_eq!(fs::read_link(to.join("a/link")).unwrap(), Path::new("b/run"));
        fs::set_permissions(to.join("a/b/run"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(to.join("a/b/run"), "two").unwrap();
        assert_eq!(fs::read_to_string(from.join("a/b/run")).unwrap(), "one");
        fs::set_permissions(to.join("a"), fs::Permissions::from_mode(0o500)).unwrap();
        remove_tree(&to).unwrap();
        remove_tree(&to).unwrap();
        assert!(!to.exists());
    }
}
