//! The folder of one instance or task: who holds it, what was printed, and what goes when.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, flock};

use super::{
    copy::remove_tree,
    last_lines::LastLines,
    orphans,
    shim::{Ended, Identity, Who, parse_line},
};
use crate::model::{AppUid, Exit, InstanceName, Timestamp};

/// There while the present run of an instance is ready.
pub(super) const READY: &str = "ready";

/// What ended instances of an app printed is kept, the newest first, up to so much of it.
const KEPT_BYTES: u64 = 8 * 1024 * 1024;
/// In at most so many folders.
const KEPT: usize = 100;
/// How long they are kept at most; looked at whenever an instance ends and at a start.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// The folder of all instances of an app.
pub(crate) fn of_app(run_dir: &Path, uid: AppUid) -> PathBuf {
    run_dir.join(uid.to_string())
}

/// The folder of an instance.
pub(crate) fn of_instance(run_dir: &Path, uid: AppUid, instance: &InstanceName) -> PathBuf {
    of_app(run_dir, uid).join(instance.as_str())
}

/// Where the private copy of the app's files lies.
pub(super) fn files(folder: &Path) -> PathBuf {
    folder.join("app")
}

/// An entry that is in the environment of an instance's processes, and of no others.
pub(super) fn mark(folder: &Path) -> String {
    format!("HOME={}", files(folder).display())
}

/// Whether a shim lives here.
pub(super) fn is_held(folder: &Path) -> bool {
    let Ok(file) = File::open(folder.join("lock")) else { return false };
    matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(rustix::io::Errno::WOULDBLOCK))
}

/// The shim that holds the folder, as it wrote itself into its lock.
pub(super) fn holder(folder: &Path) -> Option<Who> {
    serde_json::from_slice(&fs::read(folder.join("lock")).ok()?).ok()?
}

/// Takes the folder as a shim does, so that none can live here meanwhile; `None` if one does.
pub(super) fn claim(folder: &Path) -> io::Result<Option<File>> {
    let file =
        File::options().create(true).truncate(false).write(true).mode(0o600).open(folder.join("lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the present run of an instance was ready when a platform process last looked.
pub(super) fn was_ready(folder: &Path) -> bool {
    folder.join(READY).exists()
}

/// Remembers, across platform processes, whether the present run of an instance is ready.
pub(super) fn mark_ready(folder: &Path, ready: bool) -> io::Result<()> {
    let mark = folder.join(READY);
    if ready {
        return File::options().create(true).truncate(false).write(true).mode(0o600).open(mark).map(drop);
    }
    match fs::remove_file(mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The last lines that were printed since `since`.
pub(super) fn last_lines(folder: &Path, since: Timestamp) -> Vec<String> {
    let mut last = LastLines::default();
    for name in ["out.1", "out.0"] {
        let bytes = fs::read(folder.join(name)).unwrap_or_default();
        let lines = bytes.split(|b| *b == b'\n').filter_map(parse_line);
        lines.filter(|l| l.at >= since && !l.warning).for_each(|l| last.push(&l.text));
    }
    last.into_vec()
}

/// How the instance of a dead shim ended. If that could not be written down any more, it is now, and what the
/// instance left is killed: its end looks like any other then.
pub(super) fn end(folder: &Path, main: Option<Who>) -> io::Result<Exit> {
    if let Some(ended) = Ended::read(folder) {
        return Ok(ended.exit);
    }
    orphans::kill(main, &mark(folder));
    Ended::new(Exit::Lost).write(folder)?;
    Ok(Exit::Lost)
}

/// Removes whatever an ended instance no longer needs, and old folders of ended instances of this app.
pub(super) fn tidy(app: &Path) -> io::Result<()> {
    let mut ended = Vec::new();
    for folder in subfolders(app)? {
        if !folder.join("exit.json").exists() || is_held(&folder) {
            continue;
        }
        remove_tree(&files(&folder))?;
        let at = fs::metadata(folder.join("exit.json")).and_then(|m| m.modified());
        ended.push((at.unwrap_or(SystemTime::UNIX_EPOCH), folder));
    }
    ended.sort();
    let mut bytes = 0;
    for (index, (at, folder)) in ended.into_iter().rev().enumerate() {
        bytes += ["out.0", "out.1"]
            .iter()
            .filter_map(|o| fs::metadata(folder.join(o)).ok())
            .map(|m| m.len())
            .sum::<u64>();
        // The newest one's fits always.
        if bytes > KEPT_BYTES || index >= KEPT || at.elapsed().is_ok_and(|age| age > KEPT_FOR) {
            remove_tree(&folder)?;
        }
    }
    Ok(())
}

/// The port of an instance that ended, and when it did.
pub(super) fn port_of_ended(folder: &Path) -> Option<(u16, Timestamp)> {
    Identity::read(folder).zip(Ended::read(folder)).map(|(identity, ended)| (identity.port, ended.at))
}

/// The folders in a folder; none if it is not there.
pub(super) fn subfolders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Removes the folders of an app's ended instances, with their output.
pub(crate) fn forget(app: &Path) -> io::Result<()> {
    let held = |name: &str| is_held(&app.join(name));
    remove_unless(app, held)
}

/// Removes all folders of an app's instances but those that are `alive`, and then its own if nothing is left.
pub(super) fn clear(app: &Path, alive: &BTreeSet<InstanceName>) -> io::Result<()> {
    remove_unless(app, |name| alive.contains(name))?;
    // Lines of the platform may lie there, which are the log store's to forget.
    let _ = fs::remove_dir(app);
    Ok(())
}

fn remove_unless(app: &Path, keep: impl Fn(&str) -> bool) -> io::Result<()> {
    let entries = match fs::read_dir(app) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let kept = entry.file_name().to_str().is_some_and(&keep);
        if entry.file_type()?.is_dir() && !kept {
            remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders of ended instances, the oldest first, each with so much output.
    fn ended(app: &Path, count: u64, bytes: usize) {
        for n in 0..count {
            let folder = app.join(format!("{n:03}"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("out.1"), vec![b'x'; bytes]).unwrap();
            let exit = File::create(folder.join("exit.json")).unwrap();
            exit.set_modified(SystemTime::now() - Duration::from_secs(count - n)).unwrap();
        }
    }

    fn left(app: &Path) -> (usize, bool) {
        (fs::read_dir(app).unwrap().count(), app.join("000").exists())
    }

    #[test]
    fn output_of_ended_instances_goes_by_its_size() {
        let app = tempfile::tempdir().unwrap();
        ended(app.path(), 60, 10);
        tidy(app.path()).unwrap();
        assert_eq!(left(app.path()), (60, true), "little output is kept of many");
        let app = tempfile::tempdir().unwrap();
        ended(app.path(), 12, 1024 * 1024);
        tidy(app.path()).unwrap();
        assert_eq!(left(app.path()), (8, false), "of much the newest");
        let app = tempfile::tempdir().unwrap();
        ended(app.path(), 102, 0);
        tidy(app.path()).unwrap();
        assert_eq!(left(app.path()), (100, false));
    }
}
