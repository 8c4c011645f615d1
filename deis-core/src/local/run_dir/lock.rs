//! Who lives in a folder: a lock is held for life, so a number that the system has given to somebody else by now
//! deceives nobody.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    thread,
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{format::LOCK, record::ProcessIdentity};

/// How often a lock is tried that somebody may hold for a moment only, and the pause between.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(5);

/// Whether a supervising process lives here.
pub(crate) fn is_held(folder: &Path) -> bool {
    let Ok(file) = File::open(folder.join(LOCK)) else { return false };
    // A shared lock does not disturb others who look at the same time. The kernel drops it with the descriptor.
    matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(Errno::WOULDBLOCK))
}

/// The supervising process that holds the folder, as it wrote itself into its lock.
pub(crate) fn holder(folder: &Path) -> Option<ProcessIdentity> {
    serde_json::from_slice(&fs::read(folder.join(LOCK)).ok()?).ok()?
}

/// Takes the folder as a supervising process does, so that none can live here meanwhile; `None` if one does.
pub(crate) fn claim(folder: &Path) -> io::Result<Option<File>> {
    let file = open(folder)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Takes the lock for life, and leaves the process's number for whoever must end a supervising process that never wrote
/// a state.
pub(crate) fn hold(folder: &Path) -> io::Result<File> {
    for _ in 0..TRIES {
        let Some(mut file) = claim(folder)? else {
            // Whoever looks whether the lock is taken holds it for a moment.
            thread::sleep(PAUSE);
            continue;
        };
        file.set_len(0)?;
        let own = ProcessIdentity::of(rustix::process::getpid().as_raw_nonzero().get());
        file.write_all(&serde_json::to_vec(&own)?)?;
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "another supervising process has this folder"))
}

fn open(folder: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).mode(0o600).open(folder.join(LOCK))
}
