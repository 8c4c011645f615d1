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
            match look_at(folder.clone(), uid, begun, grace) {
                Ok(task) => found.extend(task),
                // One folder is no reason for all apps to stay down: it is looked at again at the next start.
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "what is left of a task cannot be tidied");
                }
            }
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
            let Some(identity) = identity else {
                // The process before this one was killed, or the disk full, while it made the folder. There is nothing
                // to write down of what never ran.
                orphans::end_unrecorded_task(&folder);
                return remove_tree(&folder).map(|()| None);
            };
            // First: it may be what gives a full disk the room to write the end down.
            let removed = remove_tree(&files(&folder));
            if let Err(error) = orphans::end_task(&folder).map(drop).and(removed) {
                // It has ended all the same, and whoever asks is told so.
                tracing::warn!(folder = %folder.display(), %error, "the end of a task cannot be written down");
            }
            Ok(Some(FoundTask { folder, identity, shim: None }))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::local::run_dir::format::{EXIT, of_task, tasks};
    use crate::model::{AppName, AppRef, Attempt, Exit, Program, Task, TaskKind, TaskName, Tool};

    fn folder(run_dir: &Path, name: &str) -> (PathBuf, Task) {
        let app = AppRef { name: AppName::new("blog").unwrap(), uid: AppUid(uuid::Uuid::nil()) };
        let name = TaskName::new(name).unwrap();
        let folder = of_task(run_dir, app.uid, (TaskKind::Run, &name, Attempt(0)));
        fs::create_dir_all(&folder).unwrap();
        let program = Program::Tool { tool: Tool::Builder, input: Vec::new() };
        (folder, Task::new(app, TaskKind::Run, name, program, Duration::from_secs(1)))
    }

    #[test]
    fn a_folder_in_which_nothing_can_be_written_stops_no_start() {
        let dir = tempfile::tempdir().unwrap();
        let (half_made, _) = folder(dir.path(), "run-half");
        fs::write(half_made.join("task.json.part"), "").unwrap();
        let (full, task) = folder(dir.path(), "run-full");
        TaskIdentity::of(&task).write(&full).unwrap();
        for folder in [&half_made, &full] {
            // What a disk without a byte left says, for a user whom no mode of a file stops.
            symlink("/dev/full", folder.join("exit.json.part")).unwrap();
        }
        let (whole, task) = folder(dir.path(), "run-whole");
        TaskIdentity::of(&task).write(&whole).unwrap();
        let found = scan(&tasks(dir.path()), Duration::ZERO).unwrap();
        let mut names: Vec<&str> = found.iter().map(|task| task.identity.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["run-full", "run-whole"]);
        assert!(!half_made.exists() && whole.join(EXIT).exists() && !full.join(EXIT).exists());
        assert_eq!(crate::local::run_dir::record::EndRecord::read(&whole).unwrap().exit, Exit::Lost);
    }
}
