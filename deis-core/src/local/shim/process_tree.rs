//! Everything that descends from a shim, and its end.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{
        Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpid, kill_process,
        kill_process_group, wait, waitid,
    },
};

use crate::{model::Exit, os::proc};

/// Longest wait for processes that were sent SIGKILL: one that the kernel holds up does not end.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// The child of a shim with all that it started.
#[derive(Debug)]
pub(super) struct ProcessTree {
    main: Pid,
    /// How the child itself ended, once it has.
    pub(super) exit: Option<Exit>,
    /// Whether the child was reaped: the number of its group may be somebody else's then.
    reaped: bool,
}

impl ProcessTree {
    pub(super) fn new(main: Pid) -> Self {
        Self { main, exit: None, reaped: false }
    }

    /// Reaps whoever has ended, but leaves the child as it is: its number stays taken as long as signals may go to
    /// its group. Returns whether nobody is left.
    pub(super) fn reap(&mut self) -> bool {
        while self.exit.is_none() {
            // The child is looked at without being reaped: as long as it is not, the kernel gives its number, which is
            // also that of its group, to nobody else, and a signal to the group cannot meet a stranger.
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            match waitid(WaitId::Pid(self.main), look) {
                // The child runs. Whoever else has ended is an orphan that this process has inherited, and is reaped.
                Ok(None) => match wait(WaitOptions::NOHANG) {
                    // It ended between the two calls.
                    Ok(Some((pid, status))) if pid == self.main => {
                        (self.exit, self.reaped) = (Some(exit_of(status)), true);
                    }
                    Ok(Some(_)) | Err(Errno::INTR) => {}
                    Ok(None) | Err(_) => return false,
                },
                Ok(Some(status)) => {
                    let (code, signal) = (status.exit_status(), status.terminating_signal());
                    self.exit = Some(code.map(Exit::Code).or(signal.map(Exit::Signal)).unwrap_or(Exit::Lost));
                }
                Err(Errno::INTR) => {}
                Err(_) => (self.exit, self.reaped) = (Some(Exit::Lost), true),
            }
        }
        self.exit.is_some() && proc::descendants(own_pid()).is_empty()
    }

    /// Sends a signal to everybody.
    pub(super) fn signal(&self, signal: Signal) {
        if !self.reaped {
            let _ = kill_process_group(self.main, signal);
        }
        // A process may leave the group, as a daemon does, but not the tree: it stays a descendant of the subreaper.
        for pid in proc::descendants(own_pid()) {
            // A member of the group has had the signal. A second SIGTERM makes many programs give up what they do.
            let in_group = !self.reaped && group_of(pid) == Some(self.main);
            if let Some(pid) = Pid::from_raw(pid).filter(|_| !in_group) {
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// Sends a signal to the child's process group only, as a terminal or a shell would.
    pub(super) fn signal_group(&self, signal: Signal) {
        if !self.reaped {
            let _ = kill_process_group(self.main, signal);
        }
    }

    /// Kills everybody, again and again until nobody is left: some may start others meanwhile. Returns how the
    /// child ended.
    pub(super) fn kill(&mut self) -> Exit {
        let begun = Instant::now();
        // Most trees are gone after the first signal, and a caller waits for the end.
        let mut pause = Duration::from_micros(200);
        while !self.reap() && begun.elapsed() < KILL_WAIT {
            self.signal(Signal::KILL);
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        self.exit.unwrap_or(Exit::Lost)
    }
}

fn own_pid() -> i32 {
    getpid().as_raw_nonzero().get()
}

fn group_of(pid: i32) -> Option<Pid> {
    rustix::process::getpgid(Pid::from_raw(pid)).ok()
}

fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Lost,
    }
}
