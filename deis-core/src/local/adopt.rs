//! What an earlier platform process left: instances that run are adopted, the rest is tidied.

use std::{
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    copy::remove_tree,
    folder, orphans,
    process::MARGIN,
    shim::{Ended, Identity, State},
};
use crate::model::Timestamp;

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

/// Removes the folders of tasks that an earlier process left. Blocks until the tasks have ended, for which those that
/// do not end by themselves have the grace period.
pub(super) fn sweep_tasks(tasks: &Path, grace: Duration) -> io::Result<()> {
    let begun = Instant::now();
    for app in folder::subfolders(tasks)? {
        for task in folder::subfolders(&app)? {
            while folder::is_held(&task) && begun.elapsed() < TASKS_WAIT {
                thread::sleep(LOOK);
            }
            stop_holder(&task, grace);
            orphans::end_task(&task);
            remove_tree(&task)?;
        }
        remove_tree(&app)?;
    }
    Ok(())
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
