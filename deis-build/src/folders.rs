//! Folders that builds made: whatever modes they left, they can be removed.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// Removes a file or a whole tree, also one with folders that nobody may write to. Missing: fine.
///
/// # Errors
/// What the file system says of an entry that stays.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let remove = || {
        if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    };
    match remove() {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => {
            make_writable(path);
            remove()
        }
    }
}

fn make_writable(path: &Path) {
    let _ = fs::set_permissions(path, Permissions::from_mode(0o700));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}
