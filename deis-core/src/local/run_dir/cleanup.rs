//! What goes from the run folder, and when.

use std::{
    collections::BTreeSet,
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use super::{
    format::{EXIT, LINES, files, subfolders, suffix},
    lock::is_held,
    record::{EndRecord, InstanceIdentity},
};
use crate::{
    local::tree::remove_tree,
    model::{InstanceName, Timestamp},
};

/// What ended instances of an app printed is kept, the newest first, up to so much of it.
const KEPT_BYTES: u64 = 8 * 1024 * 1024;
/// In at most so many folders.
const KEPT: usize = 100;
/// How long they are kept at most; looked at whenever an instance ends and at a start.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// Removes whatever an ended instance no longer needs, and old folders of ended instances of this app.
pub(crate) fn tidy(app: &Path) -> io::Result<()> {
    let mut ended = Vec::new();
    for folder in subfolders(app)? {
        // The end is written a moment before the supervising process is gone.
        if !folder.join(EXIT).exists() || is_held(&folder) {
            continue;
        }
        remove_tree(&files(&folder))?;
        let at = fs::metadata(folder.join(EXIT)).and_then(|m| m.modified());
        ended.push((at.unwrap_or(SystemTime::UNIX_EPOCH), folder));
    }
    ended.sort();
    let mut bytes = 0;
    for (index, (at, folder)) in ended.into_iter().rev().enumerate() {
        bytes += LINES.iter().filter_map(|o| fs::metadata(folder.join(o)).ok()).map(|m| m.len()).sum::<u64>();
        // The newest one's fits always.
        if bytes > KEPT_BYTES || index >= KEPT || at.elapsed().is_ok_and(|age| age > KEPT_FOR) {
            remove_tree(&folder)?;
        }
    }
    Ok(())
}

/// The port of an instance that ended, and when it did.
pub(crate) fn port_of_ended(folder: &Path) -> Option<(u16, Timestamp)> {
    InstanceIdentity::read(folder)
        .zip(EndRecord::read(folder))
        .map(|(identity, ended)| (identity.port, ended.at))
}

/// Removes the folders of an app's ended instances, with their output.
pub(crate) fn forget(app: &Path) -> io::Result<()> {
    let held = |name: &str| is_held(&app.join(name));
    remove_unless(app, held)
}

/// Removes all folders of an app's instances but those that are `alive`, and then its own if nothing is left.
pub(crate) fn clear(app: &Path, alive: &BTreeSet<InstanceName>) -> io::Result<()> {
    remove_unless(app, |folder| alive.iter().any(|name| suffix(name) == folder))?;
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
    use std::fs::File;

    use super::*;

    /// Folders of ended instances, the oldest first, each with so much output.
    fn ended(app: &Path, count: u64, bytes: usize) {
        for n in 0..count {
            let folder = app.join(format!("{n:03}"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(LINES[1]), vec![b'x'; bytes]).unwrap();
            let exit = File::create(folder.join(EXIT)).unwrap();
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
