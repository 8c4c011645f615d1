//! What the loop of a shim has to do with a child's descriptors, whatever they are.

use std::{
    io,
    process::Child,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags},
    process::Signal,
};

use crate::model::Exit;

/// What a child is connected to: an instance's log, or a task's output and input.
pub(super) trait Channels {
    /// Writes down who the child is, so that a later platform process finds it.
    fn begin(&mut self, child: &mut Child) -> io::Result<()>;

    /// Says why the child could not be started.
    fn not_started(&mut self, error: &io::Error);

    /// The descriptors to wait for, and for what.
    fn interest(&self) -> Vec<PollFd<'_>>;

    /// Something has happened, or a moment has come: `ready` has what the kernel said of each descriptor of
    /// [`Channels::interest`].
    fn handle(&mut self, ready: &[PollFlags]) -> Vec<Action>;

    /// The next moment at which there is something to do.
    fn next_moment(&self) -> Option<Instant>;

    /// The child was told to stop.
    fn stopping(&mut self) {}

    /// Takes in what is left to take in, and writes down the end.
    fn finish(&mut self, exit: Exit) -> io::Result<()>;
}

/// What the channels want done to the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Send a signal to the child's group.
    Signal(Signal),
    /// The other end of the channels has gone: SIGHUP, and after so long the end.
    HangUp(Duration),
    /// Stop, with the grace period.
    Stop,
    /// Kill it: whoever it belongs to has gone.
    Kill,
}
