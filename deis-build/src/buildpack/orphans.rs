//! Processes that a step of a build started and did not wait for.

use std::{fs, io};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait},
};

/// Makes this process the parent of whatever its children leave behind, so that [`end`] finds it.
pub(super) fn adopt() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Ends all children of this process, and theirs as they become its own. What runs on would write into the app while
/// it is packed, and hold the pipe on which a step's output ends.
///
/// No child that somebody else waits for may be there.
pub(super) fn end() {
    loop {
        // Most steps leave nothing: that costs one call, and no look at all processes.
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => continue,
            Err(_) => return,
            Ok(None) => {}
        }
        kill_children();
        let _ = wait(WaitOptions::empty());
    }
}

/// Sends all children of this process SIGKILL; whoever waits for them goes on doing so.
pub(super) fn kill_children() {
    for child in children() {
        let _ = kill_process(child, Signal::KILL);
    }
}

fn children() -> Vec<Pid> {
    let own = getpid();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent(*pid) == Some(own.as_raw_nonzero().get())).filter_map(Pid::from_raw).collect()
}

/// The parent of a process, the fourth field of its `stat`.
fn parent(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything, brackets too.
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}
