//! The data folder: one daemon at a time, everything in its place.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// A data folder that is ours as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// A data folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another daemon has it.
    #[error(
        "the data folder {path:?} is in use by the daemon with pid {pid}; stop it with `deisd down`, or use --data"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who has it.
        pid: u32,
    },
    /// It is a place for everybody's files.
    #[error("{path:?} is shared by all users of this machine; name a folder of your own with --data")]
    Shared {
        /// The folder.
        path: PathBuf,
    },
    /// It cannot be made or written.
    #[error("the data folder {path:?} cannot be used")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Names that this executable can be called by, beside `deisd`.
const LINKS: [&str; 3] = ["deisd", "deis", crate::static_server::NAME];

const LOCK: &str = "lock";

/// The mode of folders such as `/tmp`.
const STICKY: u32 = 0o1000;

impl DataDir {
    /// Takes the folder, making it if it is not there.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |source| DataDirError::Io { path: path.to_path_buf(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        make_private(&path)?;
        let lock = take_lock(&path)?;
        let own = Self { path, _lock: lock };
        own.link().map_err(failed)?;
        Ok(own)
    }

    /// Fails if a daemon has the folder; makes and changes nothing.
    pub fn check_free(path: &Path) -> Result<(), DataDirError> {
        let Ok(mut lock) = File::open(path.join(LOCK)) else { return Ok(()) };
        if flock(&lock, FlockOperation::NonBlockingLockShared).is_err() {
            return Err(in_use(path, &mut lock));
        }
        Ok(())
    }

    /// Whether there is a data folder, in use or not.
    pub fn exists(path: &Path) -> bool {
        path.join(LOCK).is_file()
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `bin/` holds this executable under all its names: `cargo run` builds only one.
    fn link(&self) -> std::io::Result<()> {
        let bin = self.join("bin");
        fs::create_dir_all(&bin)?;
        let program = std::env::current_exe()?;
        for name in LINKS {
            let (link, fresh) = (bin.join(name), bin.join(format!(".{name}.new")));
            if fs::read_link(&link).is_ok_and(|target| target == program) {
                continue;
            }
            let _ = fs::remove_file(&fresh);
            symlink(&program, &fresh)?;
            fs::rename(&fresh, &link)?;
        }
        Ok(())
    }
}

/// Whatever the folder's modes were, and whatever the umask is for what is made in it: nobody else gets in.
fn make_private(path: &Path) -> Result<(), DataDirError> {
    let failed = |source| DataDirError::Io { path: path.to_path_buf(), source };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o7777;
    if mode & STICKY != 0 {
        return Err(DataDirError::Shared { path: path.to_path_buf() });
    }
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

fn in_use(path: &Path, lock: &mut File) -> DataDirError {
    let mut text = String::new();
    let _ = lock.read_to_string(&mut text);
    DataDirError::InUse { path: path.to_path_buf(), pid: text.trim().parse().unwrap_or(0) }
}

fn take_lock(path: &Path) -> Result<File, DataDirError> {
    let failed = |source| DataDirError::Io { path: path.to_path_buf(), source };
    let file = path.join(LOCK);
    let mut lock = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file)
        .map_err(failed)?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(in_use(path, &mut lock));
    }
    lock.set_len(0).and_then(|()| lock.rewind()).map_err(failed)?;
    writeln!(lock, "{}", std::process::id()).map_err(failed)?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::open(folder.path()).unwrap();
        match DataDir::open(folder.path()) {
            Err(DataDirError::InUse { pid, .. }) => assert_eq!(pid, std::process::id()),
            other => panic!("{other:?}"),
        }
        assert!(matches!(DataDir::check_free(folder.path()), Err(DataDirError::InUse { .. })));
        assert!(first.join("bin/deis").is_symlink());
        drop(first);
        DataDir::check_free(folder.path()).unwrap();
        DataDir::open(folder.path()).unwrap();
    }

    #[test]
    fn nobody_else_gets_in() {
        let folder = tempfile::tempdir().unwrap();
        let set = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let mode = || fs::metadata(folder.path()).unwrap().permissions().mode() & 0o7777;
        set(0o755);
        DataDir::open(folder.path()).unwrap();
        assert_eq!(mode(), 0o700);
        set(0o1777);
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::Shared { .. })));
        assert_eq!(mode(), 0o1777);
    }
}
