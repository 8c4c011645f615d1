//! The loop of a shim: signals, time limits and whatever its child's descriptors say, until the child and all that it
//! started are gone.

use std::{
    io::{self, Read as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Child,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal},
};

use super::{
    Output, Spec, inherited, instance::InstanceChannels, process_tree::ProcessTree, start, task::TaskChannels,
};
use crate::model::Exit;

/// How often one looks for orphans while the child is stopping: not every end of theirs is signalled here.
const LOOK: Duration = Duration::from_millis(100);

/// What a child is connected to: an instance's log, or a task's output and input.
pub(super) trait Channels {
    /// Writes down who the child is, so that a later platform process finds it.
    fn begin(&mut self, child: &mut Child) -> io::Result<()>;

    /// Says why the child could not be started.
    fn not_started(&mut self, error: &io::Error);

    /// The descriptors to wait for, and for what.
    fn interest(&self) -> Vec<PollFd<'_>>;

    /// Something has happened, or a moment has come: `told` has what each descriptor of [`Channels::interest`] said.
    fn handle(&mut self, told: &[PollFlags]) -> Vec<Ask>;

    /// The next moment at which there is something to do.
    fn next_moment(&self) -> Option<Instant>;

    /// The child was told to stop.
    fn stopping(&mut self) {}

    /// Takes in what is left to take in, and writes down the end.
    fn finish(&mut self, exit: Exit) -> io::Result<()>;
}

/// What the channels ask of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Send a signal to the child's group.
    Signal(Signal),
    /// The other end of the channels has gone: SIGHUP, and after so long the end.
    HangUp(Duration),
    /// Stop, with the grace period.
    Stop,
    /// Kill it: whoever it belongs to has gone.
    Abandon,
}

/// Runs the child to its end and writes down how it ended.
pub(super) fn watch(mut spec: Spec) -> io::Result<()> {
    let terminate = on_signal(Signal::TERM)?;
    let child_ended = on_signal(Signal::CHILD)?;
    inherited::stop_ignoring()?;
    if let Some(soft) = spec.open_files {
        inherited::limit_files(soft)?;
    }
    let (stdio, mut channels): (_, Box<dyn Channels>) = match &mut spec.output {
        Output::Files { identity, notices } => {
            (start::Stdio::Piped, Box::new(InstanceChannels::new(&spec.folder, identity, notices)))
        }
        Output::Task(task) => {
            let (stdio, channels) = TaskChannels::new(&spec.folder, task)?;
            (stdio, Box::new(channels))
        }
    };
    let mut child = match start::start(&spec, stdio) {
        Ok(child) => child,
        Err(error) => {
            channels.not_started(&error);
            return channels.finish(Exit::Code(start::CANNOT_START));
        }
    };
    let mut watch = Watch {
        folder: std::mem::take(&mut spec.folder),
        tree: ProcessTree::new(Pid::from_child(&child)),
        channels,
        terminate,
        child_ended,
        grace: Duration::from_millis(spec.grace_ms),
        limit: spec.limit_ms.map(|ms| Instant::now() + Duration::from_millis(ms)),
        stop_by: None,
        child_told: true,
    };
    // It holds the environment, which nobody needs any more.
    drop(spec);
    if let Err(error) = watch.channels.begin(&mut child) {
        // What nobody could find again must not run.
        watch.tree.kill();
        watch.channels.not_started(&error);
        return watch.channels.finish(Exit::Code(start::CANNOT_START));
    }
    let exit = watch.until_end();
    watch.channels.finish(exit)
}

struct Watch {
    folder: PathBuf,
    tree: ProcessTree,
    channels: Box<dyn Channels>,
    terminate: UnixStream,
    child_ended: UnixStream,
    grace: Duration,
    limit: Option<Instant>,
    /// When what still runs is killed.
    stop_by: Option<Instant>,
    /// Whether some child has ended since that was looked at.
    child_told: bool,
}

impl Watch {
    fn until_end(&mut self) -> Exit {
        loop {
            // Looking for the living means reading all of `/proc`, so it waits for a sign that somebody has ended.
            let look = std::mem::take(&mut self.child_told) || self.stop_by.is_some();
            let gone = look && self.tree.reap();
            // While it is being stopped, what the child started has the grace period too.
            let ended = self.tree.exit.is_some() && self.stop_by.is_none();
            if gone || ended || self.stop_by.is_some_and(|by| Instant::now() >= by) {
                return self.tree.kill();
            }
            if self.limit.is_some_and(|limit| Instant::now() >= limit) {
                self.tree.kill();
                return Exit::TimedOut;
            }
            for ask in self.wait() {
                match ask {
                    Ask::Signal(signal) => self.tree.signal_group(signal),
                    Ask::HangUp(grace) => self.stop(Signal::HUP, grace),
                    Ask::Stop => self.stop(Signal::TERM, self.grace),
                    Ask::Abandon => {
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
        self.channels.stopping();
        self.tree.signal(signal);
    }

    /// Waits until something happens.
    fn wait(&mut self) -> Vec<Ask> {
        let timeout = self.timeout();
        let told: Vec<PollFlags> = {
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
        if !told[1].is_empty() {
            drain(&self.child_ended);
            self.child_told = true;
        }
        let mut asks = self.channels.handle(&told[2..]);
        if !told[0].is_empty() {
            drain(&self.terminate);
            asks.push(Ask::Stop);
        }
        asks
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
        let _ = std::fs::remove_file(self.folder.join(crate::local::wire::SOCKET));
    }
}

/// A stream that becomes readable when the signal comes.
fn on_signal(signal: Signal) -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(signal.as_raw(), write)?;
    Ok(read)
}

fn drain(mut stream: &UnixStream) {
    let mut buffer = [0; 64];
    while matches!(stream.read(&mut buffer), Ok(n) if n > 0) {}
}

/// Whether reading gives something at once: bytes, an end or an error.
pub(super) fn is_readable(fd: std::os::fd::BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|n| n > 0)
}
