//! Files that are replaced whole or not at all.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// What a replaced file survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A killed process. Enough for what is worth nothing after the machine has started anew.
    Process,
    /// A power cut, too.
    Machine,
}

/// Writes a file that only this user can read, whole or not at all: whoever opens `path` finds what was there before, or
/// all of `bytes`. A killed writer may leave a file with `.part` behind the name, which the next writer replaces. Two
/// writers at once are the caller's to prevent. Blocks.
///
/// # Errors
/// What the file system says; the old content is still there then.
///
/// ```
/// use deis_core::os::{Durability, replace_file};
///
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("secret");
/// replace_file(&path, b"first", Durability::Machine)?;
/// replace_file(&path, b"second", Durability::Machine)?;
/// assert_eq!(std::fs::read(&path)?, b"second");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn replace_file(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let part = part_of(path);
    // What a killed writer left may have other modes, which opening it would not change.
    let _ = fs::remove_file(&part);
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(&part)?;
    file.write_all(bytes)?;
    if durability == Durability::Machine {
        // A file system may write the new name down before the bytes: after a power cut the file would be empty.
        file.sync_all()?;
    }
    fs::rename(&part, path)?;
    if durability == Durability::Machine
        && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
    {
        // The name is an entry of the folder, which is written down apart from the file.
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        replace_file(&path, b"one", Durability::Process).unwrap();
        // What a killed writer left.
        fs::write(folder.path().join("a.json.part"), "half of something long").unwrap();
        replace_file(&path, b"two", Durability::Machine).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace_file(&path, b"old", Durability::Process).unwrap();
        fs::create_dir(folder.path().join("a.part")).unwrap();
        replace_file(&path, b"new", Durability::Process).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}
