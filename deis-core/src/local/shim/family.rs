//! Everything that descends from a shim, and its end.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, kill_process_group, wait},
};

use crate::{local::proc, model::Exit};

/// Kernel-bound processes cannot be killed; nobody waits for them for ever.
const HOPELESS: Duration = Duration::from_secs(10);

/// The child of a shim with all that it started.
#[derive(Debug)]
pub(super) struct Family {
    main: Pid,
    /// How the child itself ended, once it has.
    pub(super) exit: Option<Exit>,
}

impl Family {
    pub(super) fn new(main: Pid) -> Self {
        Self { main, exit: None }
    }

    /// Reaps whoever has ended. Returns whether nobody is left.
    pub(super) fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    if pid == self.main {
                        self.exit = Some(exit_of(status));
                    }
                }
                Ok(None) | Err(Errno::INTR) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Sends a signal to everybody.
    pub(super) fn signal(&self, signal: Signal) {
        // Once the child is reaped, the number of its group may be somebody else's.
        if self.exit.is_none() {
            let _ = kill_process_group(self.main, signal);
        }
        for pid in proc::descendants(getpid().as_raw_nonzero().get()) {
            // The group has had it; twice is harmless for SIGKILL only.
            let in_group = self.exit.is_none() && group_of(pid) == Some(self.main);
            if let Some(pid) = Pid::from_raw(pid).filter(|_| !in_group) {
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// Kills everybody, again and again until nobody is left: some may start others meanwhile.
    pub(super) fn kill(&mut self) {
        let begun = Instant::now();
        let mut pause = Duration::from_micros(200);
        while !self.reap() && begun.elapsed() < HOPELESS {
            self.signal(Signal::KILL);
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
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
