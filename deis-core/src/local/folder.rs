//! The folder of one instance or task: who holds it, what was printed, and what goes when.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, flock};

use super::{
    copy::remove_tree,
    shim::{Stamped, Who, parse_line},
};
use crate::model::{AppUid, InstanceName, Timestamp};

/// Folders of ended instances that an app keeps, for their logs.
const KEPT: usize = 10;
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

/// Whether a shim lives here.
pub(super) fn is_held(folder: &Path) -> bool {
    let Ok(file) = File::open(folder.join("lock")) else { return false };
    matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(rustix::io::Errno::WOULDBLOCK))
}

/// The shim that holds the folder, as it wrote itself into its lock.
pub(super) fn holder(folder: &Path) -> Option<Who> {
    serde_json::from_slice(&fs::read(folder.join("lock")).ok()?).ok()?
}

/// The last lines that were printed since `since`.
pub(super) fn last_lines(folder: &Path, since: Timestamp, most: usize) -> Vec<String> {
    let mut lines: Vec<Stamped> = Vec::new();
    for name in ["out.1", "out.0"] {
        let bytes = fs::read(folder.join(name)).unwrap_or_default();
        lines.extend(bytes.split(|b| *b == b'\n').filter_map(parse_line));
    }
    let own: Vec<String> =
        lines.into_iter().filter(|l| l.at >= since && !l.warning).map(|l| l.text).collect();
    own[own.len().saturating_sub(most)..].to_vec()
}

/// Removes whatever an ended instance no longer needs, and old folders of ended instances of this app.
pub(super) fn tidy(app: &Path) -> io::Result<()> {
    let mut ended = Vec::new();
    for entry in fs::read_dir(app)? {
        let folder = entry?.path();
        if !folder.join("exit.json").exists() || is_held(&folder) {
            continue;
        }
        remove_tree(&files(&folder))?;
        let at = fs::metadata(folder.join("exit.json")).and_then(|m| m.modified());
        ended.push((at.unwrap_or(SystemTime::UNIX_EPOCH), folder));
    }
    ended.sort();
    let surplus = ended.len().saturating_sub(KEPT);
    for (index, (at, folder)) in ended.into_iter().enumerate() {
        if index < surplus || at.elapsed().is_ok_and(|age| age > KEPT_FOR) {
            remove_tree(&folder)?;
        }
    }
    Ok(())
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
