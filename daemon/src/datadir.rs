//! The data folder: one daemon at a time, everything in its place.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use deis_core::os::{Durability, proc, replace_file};
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

/// How long a daemon that was killed may take to be gone.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Names that this executable can be called by, beside `deisd`.
const LINKS: [&str; 3] = ["deisd", "deis", crate::static_server::NAME];

const LOCK: &str = "lock";

/// The mode of folders such as `/tmp`.
const STICKY: u32 = 0o1000;

impl DataDir {
    /// Takes the folder, making it if it is not there. Blocks for a moment while a daemon that was killed goes.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |source| DataDirError::Io { path: path.to_path_buf(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        make_private(&path)?;
        let lock = take_lock(&path)?;
        let own = Self { path, _lock: lock };
        own.link().or_else(unless_full).map_err(failed)?;
        Ok(own)
    }

    /// Fails if a daemon has the folder; makes and changes nothing.
    pub fn check_free(path: &Path) -> Result<(), DataDirError> {
        let Ok(mut lock) = File::open(path.join(LOCK)) else { return Ok(()) };
        lock_or_name(path, &mut lock, FlockOperation::NonBlockingLockShared)
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

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_privately(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    replace_file(path, bytes, Durability::Machine)
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

/// Takes the lock, or says which daemon has it. One that was killed holds it for a moment longer.
fn lock_or_name(path: &Path, lock: &mut File, operation: FlockOperation) -> Result<(), DataDirError> {
    let begun = Instant::now();
    while flock(&*lock, operation).is_err() {
        let mut text = String::new();
        let _ = lock.rewind().and_then(|()| lock.read_to_string(&mut text));
        let pid = text.trim().parse().unwrap_or(0);
        if begun.elapsed() > LOCK_WAIT || !is_going(pid) {
            return Err(DataDirError::InUse { path: path.to_path_buf(), pid });
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
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
    lock_or_name(path, &mut lock, FlockOperation::NonBlockingLockExclusive)?;
    // Written over what is there, which needs no room on a full disk. The lock is what counts, not the number in it.
    let written = lock.rewind().and_then(|()| writeln!(lock, "{:<10}", std::process::id()));
    written.or_else(unless_full).map_err(failed)?;
    Ok(lock)
}

/// What can be left out where the disk is full.
fn unless_full(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::StorageFull { Ok(()) } else { Err(error) }
}

/// Whether this process is gone, or has been killed and is about to be.
fn is_going(pid: u32) -> bool {
    i32::try_from(pid).map_or(true, proc::is_ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_killed_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        drop(DataDir::open(folder.path()).unwrap());
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let mut lock = File::options().write(true).truncate(true).open(folder.path().join("lock")).unwrap();
        writeln!(lock, "{}", gone.id()).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let dying = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(lock);
        });
        DataDir::open(folder.path()).unwrap();
        dying.join().unwrap();
    }

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
