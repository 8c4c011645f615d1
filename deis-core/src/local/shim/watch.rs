//! The loop of a shim: signals, time limits and whatever its child's descriptors say, until the child and all that it
//! started are gone.

use std::{
    io::{self, Read as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::Signal,
};

use super::{
    channels::{Action, Channels},
    process_tree::ProcessTree,
};
use crate::{local::run_dir::socket, model::Exit};

/// How often one looks for orphans while the child is stopping: not every end of theirs is signalled here.
const LOOK: Duration = Duration::from_millis(100);

/// The loop of a shim.
pub(super) struct Watch {
    pub(super) folder: PathBuf,
    pub(super) tree: ProcessTree,
    pub(super) channels: Box<dyn Channels>,
    pub(super) terminate: UnixStream,
    pub(super) child_ended: UnixStream,
    pub(super) grace: Duration,
    pub(super) limit: Option<Instant>,
    /// When what still runs is killed.
    pub(super) stop_by: Option<Instant>,
    /// Whether some child has ended since that was looked at.
    pub(super) child_told: bool,
}

impl Watch {
    /// Returns how the child ended, once nothing that it started is left.
    pub(super) fn until_end(&mut self) -> Exit {
        loop {
            // Looking for the living means reading all of `/proc`, so it waits for a sign that somebody has ended.
            let look = std::mem::take(&mut self.child_told) || self.stop_by.is_some();
            let gone = look && self.tree.reap();
            // While it is being stopped, what the child started has the grace period too.
            let ended = self.tree.exit.is_some() && self.stop_by.is_none();
            if gone || ended || self.stop_by.is_some_and(|by| Instant::now() >= by) {
                return self.tree.kill();
            }
            // After the end is looked for: a child that ended in time did, however late this loop comes to see it.
            if self.limit.is_some_and(|limit| Instant::now() >= limit) {
                self.tree.kill();
                return Exit::TimedOut;
            }
            for action in self.wait() {
                match action {
                    Action::Signal(signal) => self.tree.signal_group(signal),
                    Action::HangUp(grace) => self.stop(Signal::HUP, grace),
                    Action::Stop => self.stop(Signal::TERM, self.grace),
                    Action::Kill => {
                        self.tree.kill();
                        return Exit::Lost;
                    }
                }
            }
        }
    }

    /// Asks everybody to end, and leaves them some time for it.
    fn stop(&mut self, signal: Signal, grace: Duration) {
        if self.stop_by.is_some() {
            return;
        }
        self.stop_by = Some(Instant::now() + grace);
        // Written down before the signal: a platform process that adopts the instance from here on sends it no request.
        self.channels.stopping();
        self.tree.signal(signal);
    }

    /// Waits until something happens.
    fn wait(&mut self) -> Vec<Action> {
        let timeout = self.timeout();
        let ready: Vec<PollFlags> = {
            let mut polled = vec![
                PollFd::new(&self.terminate, PollFlags::IN),
                PollFd::new(&self.child_ended, PollFlags::IN),
            ];
            polled.extend(self.channels.interest());
            if poll(&mut polled, timeout.as_ref()).is_err() {
                // Interrupted by a signal, which the next turn sees.
                return Vec::new();
            }
            polled.iter().map(PollFd::revents).collect()
        };
        if !ready[1].is_empty() {
            // Emptied before the children are looked at: one that ends in between makes it readable again.
            drain(&self.child_ended);
            self.child_told = true;
        }
        // Output is taken in before a stop is begun, so that what was printed before it comes before what follows it.
        let mut actions = self.channels.handle(&ready[2..]);
        if !ready[0].is_empty() {
            drain(&self.terminate);
            actions.push(Action::Stop);
        }
        actions
    }

    fn timeout(&self) -> Option<Timespec> {
        let moments = [self.channels.next_moment(), self.limit, self.stop_by];
        let next = moments.into_iter().flatten().min()?;
        let mut left = next.saturating_duration_since(Instant::now());
        if self.stop_by.is_some() {
            left = left.min(LOOK);
        }
        left.try_into().ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Nothing may connect to a socket that nobody listens to any more.
        socket::remove(&self.folder);
    }
}

/// A stream that becomes readable when the signal comes. A handler may do next to nothing, and the loop waits for
/// descriptors alone.
pub(super) fn on_signal(signal: Signal) -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    // It is read until it is empty, and many signals may have become one.
    read.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(signal.as_raw(), write)?;
    Ok(read)
}

fn drain(mut stream: &UnixStream) {
    let mut buffer = [0; 64];
    while matches!(stream.read(&mut buffer), Ok(n) if n > 0) {}
}
