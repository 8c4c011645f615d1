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

use crate::{
    local::run_dir::{
        format::files,
        lock,
        record::{EndRecord, ProcessIdentity, read_main},
    },
    model::Exit,
    os::proc,
};

/// What a supervising process may take beyond the grace period.
pub(in crate::local) const MARGIN: Duration = Duration::from_secs(5);

/// Longest wait for processes that were sent SIGKILL: one that the kernel holds up does not end.
const KILL_WAIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// Names the folder of a task to its processes.
pub(in crate::local) const TASK: &str = "DEIS_TASK";

/// How the instance of a dead supervising process ended. If that could not be written down any more, it is now, and what
/// the instance left is killed: its end looks like any other then. Blocks.
pub(in crate::local) fn end_instance(folder: &Path, main: Option<ProcessIdentity>) -> io::Result<Exit> {
    if let Some(ended) = EndRecord::read(folder) {
        return Ok(ended.exit);
    }
    kill(main, &mark_of_instance(folder));
    EndRecord::new(Exit::Lost).write(folder)?;
    Ok(Exit::Lost)
}

/// How a task ended whose supervising process is gone. If that could not be written down, it is now, and what the task
/// left is killed. Blocks.
pub(in crate::local) fn end_task(folder: &Path) -> io::Result<EndRecord> {
    if let Some(ended) = EndRecord::read(folder) {
        return Ok(ended);
    }
    kill(read_main(folder), &mark_of_task(folder));
    let ended = EndRecord::new(Exit::Lost);
    ended.write(folder)?;
    Ok(ended)
}

/// Kills what an instance left that never wrote down its process. Blocks.
pub(in crate::local) fn end_unrecorded(folder: &Path) {
    kill(None, &mark_of_instance(folder));
}

/// Kills what a task left of which nothing was written down. Blocks.
pub(in crate::local) fn end_unrecorded_task(folder: &Path) {
    kill(read_main(folder), &mark_of_task(folder));
}

/// Stops a supervising process that nobody knows, with all that it runs. What it leaves if it must be killed is the
/// caller's to end. Blocks.
pub(in crate::local) fn stop_holder(folder: &Path, grace: Duration) {
    let holder = lock::holder(folder).filter(|holder| lock::is_held(folder) && holder.exists());
    let Some(pid) = holder.and_then(|holder| Pid::from_raw(holder.pid)) else { return };
    for (signal, patience) in [(Signal::TERM, grace + MARGIN), (Signal::KILL, MARGIN)] {
        let _ = kill_process(pid, signal);
        let begun = Instant::now();
        while lock::is_held(folder) && begun.elapsed() < patience {
            thread::sleep(LOOK);
        }
        if !lock::is_held(folder) {
            return;
        }
    }
}

/// An entry that is in the environment of an instance's processes, and of no others.
fn mark_of_instance(folder: &Path) -> String {
    format!("HOME={}", files(folder).display())
}

/// An entry that is in the environment of a task's processes, and of no others.
fn mark_of_task(folder: &Path) -> String {
    format!("{TASK}={}", folder.display())
}

/// Kills the group of `main`, unless its number belongs to somebody else by now, and everybody whose environment
/// has the mark, with all that descends from them. Blocks until they are gone.
fn kill(main: Option<ProcessIdentity>, mark: &str) {
    let begun = Instant::now();
    loop {
        if let Some(group) = main.filter(|main| main.exists()).and_then(|main| Pid::from_raw(main.pid)) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        // Also those that left the group and the session: the environment that a process was started with stays readable.
        let found = proc::marked(mark);
        if found.is_empty() || begun.elapsed() > KILL_WAIT {
            return;
        }
        for pid in found.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(LOOK);
    }
}
