//! What an earlier platform process left: instances that run are adopted, the rest is tidied.

use std::{
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    copy::remove_tree,
    folder, orphans,
    process::MARGIN,
    shim::{Ended, Identity, State, TaskIdentity, Who},
};
use crate::model::{TaskLife, Timestamp};

/// A shim that has not said whom it runs for so long is stopped.
const STATE_WAIT: Duration = Duration::from_secs(2);
/// How long the end of tasks is waited for: they end with the process that started them.
const TASKS_WAIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// What was found of instances.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Those whose shim lives.
    pub(super) living: Vec<State>,
    /// Ports of those that ended, and when.
    pub(super) ended: Vec<(u16, Timestamp)>,
}

/// Looks at all instances below `run_dir`. Blocks.
pub(super) fn scan(run_dir: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    for app in folder::subfolders(run_dir)? {
        let is_app =
            app.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.parse::<uuid::Uuid>().is_ok());
        if !is_app {
            continue;
        }
        for instance in folder::subfolders(&app)? {
            match look_at(&instance)? {
                Some(state) => found.living.push(state),
                None => found.ended.extend(folder::port_of_ended(&instance)),
            }
        }
        folder::tidy(&app)?;
    }
    Ok(found)
}

/// A task that an earlier process left.
#[derive(Debug)]
pub(super) struct FoundTask {
    pub(super) folder: PathBuf,
    pub(super) identity: TaskIdentity,
    /// Its shim, if it lives on.
    pub(super) shim: Option<Who>,
}

/// Looks at all tasks below `tasks`. Detached ones may run; bound ones end with the process that started them, which is
/// waited for, and those that do not end by themselves have the grace period. What says nothing of itself is removed.
/// Blocks.
pub(super) fn scan_tasks(tasks: &Path, grace: Duration) -> io::Result<Vec<FoundTask>> {
    let begun = Instant::now();
    let mut found = Vec::new();
    for app in folder::subfolders(tasks)? {
        for folder in folder::subfolders(&app)? {
            let identity = TaskIdentity::read(&folder);
            if identity.as_ref().is_some_and(|task| task.life == TaskLife::Detached)
                && let Some(shim) = folder::holder(&folder).filter(|who| who.exists())
                && folder::is_held(&folder)
            {
                found.extend(identity.map(|identity| FoundTask { folder, identity, shim: Some(shim) }));
                continue;
            }
            while folder::is_held(&folder) && begun.elapsed() < TASKS_WAIT {
                thread::sleep(LOOK);
            }
            stop_holder(&folder, grace);
            orphans::end_task(&folder)?;
            match identity {
                Some(identity) => {
                    remove_tree(&folder::files(&folder))?;
                    found.push(FoundTask { folder, identity, shim: None });
                }
                None => remove_tree(&folder)?,
            }
        }
        // Goes if it is empty.
        let _ = std::fs::remove_dir(&app);
    }
    found.sort_by_key(|task| task.identity.since);
    Ok(found)
}

fn look_at(instance: &Path) -> io::Result<Option<State>> {
    loop {
        let begun = Instant::now();
        while folder::is_held(instance) {
            match State::read(instance) {
                Some(state) if state.shim.exists() => return Ok(Some(state)),
                _ if begun.elapsed() > STATE_WAIT => {
                    let grace = Identity::read(instance).map_or(0, |identity| identity.grace_seconds);
                    stop_holder(instance, Duration::from_secs(u64::from(grace)));
                    if folder::is_held(instance) {
                        tracing::warn!(folder = %instance.display(), "its supervising process cannot be killed");
                        return Ok(None);
                    }
                }
                _ => thread::sleep(LOOK),
            }
        }
        if Ended::read(instance).is_some() {
            return Ok(None);
        }
        // A shim that was started last may be about to come to life.
        let Some(_lock) = folder::claim(instance)? else { continue };
        if let Some(state) = State::read(instance) {
            folder::end(instance, Some(state.main))?;
        } else {
            // It never came to run: the process before this one was killed while it made the folder.
            orphans::kill(None, &folder::mark(instance));
            remove_tree(instance)?;
        }
        return Ok(None);
    }
}

/// Stops a shim that nobody knows, with all that it runs. What it leaves if it must be killed is the caller's to end.
fn stop_holder(folder: &Path, grace: Duration) {
    let holder = folder::holder(folder).filter(|who| folder::is_held(folder) && who.exists());
    let Some(pid) = holder.and_then(|who| Pid::from_raw(who.pid)) else { return };
    for (signal, patience) in [(Signal::TERM, grace + MARGIN), (Signal::KILL, MARGIN)] {
        let _ = kill_process(pid, signal);
        let begun = Instant::now();
        while folder::is_held(folder) && begun.elapsed() < patience {
            thread::sleep(LOOK);
        }
        if !folder::is_held(folder) {
            return;
        }
    }
}
