//! Tasks that an earlier platform process left: detached ones that run are adopted, the rest is known as ended.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{
    local::{
        process::orphans::{self, stop_holder},
        run_dir::{
            format::{app_of, files, subfolders},
            lock,
            record::{Found, ProcessIdentity, TaskIdentity},
        },
        tree::remove_tree,
    },
    model::{AppUid, TaskLife},
};

/// How long the end of bound tasks is waited for: they end with the process that started them.
const END_WAIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// A task that an earlier process left.
#[derive(Debug)]
pub(super) struct FoundTask {
    pub(super) folder: PathBuf,
    pub(super) identity: TaskIdentity,
    /// Its supervising process, if that lives on.
    pub(super) shim: Option<ProcessIdentity>,
}

/// Looks at all tasks below `tasks`, and waits for the end of bound ones. Blocks.
///
/// Nothing is removed here because nobody knows its app: whether that was destroyed, the ledger alone can say, and the
/// sweep for orphans asks it. What a later version of the program wrote is left as it is.
pub(super) fn scan(tasks: &Path, grace: Duration) -> io::Result<Vec<FoundTask>> {
    let begun = Instant::now();
    let mut found = Vec::new();
    for app in subfolders(tasks)? {
        let Some(uid) = app_of(&app) else { continue };
        for folder in subfolders(&app)? {
            found.extend(look_at(folder, uid, begun, grace)?);
        }
        // Goes if it is empty.
        let _ = fs::remove_dir(&app);
    }
    found.sort_by_key(|task| task.identity.since);
    Ok(found)
}

fn look_at(folder: PathBuf, app: AppUid, begun: Instant, grace: Duration) -> io::Result<Option<FoundTask>> {
    let identity = match TaskIdentity::read(&folder) {
        Found::Known(identity) if identity.app.uid == app => Some(identity),
        Found::Known(_) | Found::OtherVersion => {
            tracing::warn!(folder = %folder.display(), "a task that this version does not know is left alone");
            return Ok(None);
        }
        Found::None => None,
    };
    let detached = identity.as_ref().is_some_and(|task| task.life == TaskLife::Detached);
    // In this order: a process that ends between the two looks is seen as ended.
    let holder = lock::holder(&folder).filter(|holder| holder.exists() && lock::is_held(&folder));
    match (identity, holder) {
        (Some(identity), Some(shim)) if detached => {
            Ok(Some(FoundTask { folder, identity, shim: Some(shim) }))
        }
        (identity, _) => {
            while lock::is_held(&folder) && begun.elapsed() < END_WAIT {
                thread::sleep(LOOK);
            }
            stop_holder(&folder, grace);
            orphans::end_task(&folder)?;
            match identity {
                Some(identity) => {
                    remove_tree(&files(&folder))?;
                    Ok(Some(FoundTask { folder, identity, shim: None }))
                }
                // The process before this one was killed while it made the folder: nothing of it ever ran.
                None => remove_tree(&folder).map(|()| None),
            }
        }
    }
}
