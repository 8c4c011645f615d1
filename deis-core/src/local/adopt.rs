//! What an earlier platform process left: instances that run are adopted, the rest is tidied.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    copy::remove_tree,
    folder,
    instance::kill_orphans,
    shim::{Ended, State},
};
use crate::model::Exit;

/// A shim that has not said whom it runs for so long is stopped.
const STATE_WAIT: Duration = Duration::from_secs(2);
/// How long the end of tasks is waited for: they end with the process that started them.
const TASKS_WAIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// All instances below `run_dir` whose shim lives. Blocks.
pub(super) fn scan(run_dir: &Path) -> io::Result<Vec<State>> {
    let mut living = Vec::new();
    for app in subfolders(run_dir)? {
        let is_app =
            app.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.parse::<uuid::Uuid>().is_ok());
        if !is_app {
            continue;
        }
        for instance in subfolders(&app)? {
            living.extend(look_at(&instance)?);
        }
        folder::tidy(&app)?;
    }
    Ok(living)
}

/// Removes the folders of tasks that an earlier process left. Blocks until the tasks have ended.
pub(super) fn sweep_tasks(tasks: &Path) -> io::Result<()> {
    let begun = Instant::now();
    for app in subfolders(tasks)? {
        for task in subfolders(&app)? {
            while folder::is_held(&task) && begun.elapsed() < TASKS_WAIT {
                thread::sleep(LOOK);
            }
            stop_holder(&task);
            remove_tree(&task)?;
        }
        remove_tree(&app)?;
    }
    Ok(())
}

fn look_at(instance: &Path) -> io::Result<Option<State>> {
    let begun = Instant::now();
    while folder::is_held(instance) {
        match State::read(instance) {
            Some(state) if state.shim.exists() => return Ok(Some(state)),
            _ if begun.elapsed() > STATE_WAIT => {
                stop_holder(instance);
                break;
            }
            _ => thread::sleep(LOOK),
        }
    }
    if Ended::read(instance).is_some() {
        return Ok(None);
    }
    match State::read(instance) {
        // Its end was not seen by anybody; written down, it looks like any other.
        Some(state) => {
            kill_orphans(&state);
            Ended { exit: Exit::Lost, at: state.started }.write(instance)?;
        }
        // It never came to run: the process before this one was killed while it made the folder.
        None => remove_tree(instance)?,
    }
    Ok(None)
}

/// Stops a shim that nobody knows, with all that it runs.
fn stop_holder(folder: &Path) {
    let holder = folder::holder(folder).filter(|_| folder::is_held(folder));
    if let Some(pid) = holder.filter(|who| who.exists()).and_then(|who| Pid::from_raw(who.pid)) {
        let _ = kill_process(pid, Signal::TERM);
        thread::sleep(STATE_WAIT);
        if folder::is_held(folder) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn subfolders(path: &Path) -> io::Result<Vec<PathBuf>> {
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
