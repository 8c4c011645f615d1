//! What a supervising process that was killed leaves behind, and its end.
//!
//! Its child may be anywhere by then: in a session of its own, with another parent. What it cannot lose without
//! meaning to is an entry of its environment.

use std::{
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{
    proc,
    shim::{Ended, Who, read_main},
};
use crate::model::Exit;

/// Kernel-bound processes cannot be killed; nobody waits for them for ever.
const HOPELESS: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// Names the folder of a task to its processes.
pub(super) const TASK: &str = "DEIS_TASK";

/// How a task ended whose shim is gone. If that could not write it down, it is now, and what the task left is killed.
pub(super) fn end_task(folder: &Path) -> io::Result<Ended> {
    if let Some(ended) = Ended::read(folder) {
        return Ok(ended);
    }
    kill(read_main(folder), &mark_of_task(folder));
    let ended = Ended::new(Exit::Lost);
    ended.write(folder)?;
    Ok(ended)
}

/// An entry that is in the environment of a task's processes, and of no others.
fn mark_of_task(folder: &Path) -> String {
    format!("{TASK}={}", folder.display())
}

/// Kills the group of `main`, unless its number belongs to somebody else by now, and everybody whose environment
/// has the mark, with all that descends from them. Blocks until they are gone.
pub(super) fn kill(main: Option<Who>, mark: &str) {
    let begun = Instant::now();
    loop {
        if let Some(group) = main.filter(|main| main.exists()).and_then(|main| Pid::from_raw(main.pid)) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let found = proc::marked(mark);
        if found.is_empty() || begun.elapsed() > HOPELESS {
            return;
        }
        for pid in found.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(LOOK);
    }
}
