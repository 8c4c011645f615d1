//! Processes that a step of a build started and did not wait for.

use std::io;

use deis_core::os::proc;
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
    let own = getpid().as_raw_nonzero().get();
    proc::children(own).into_iter().filter_map(Pid::from_raw).collect()
}
