//! The standard input of a task: what was written and not read yet.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use rustix::fs::OFlags;

use crate::local::run_dir::wire::INPUT_WINDOW;

/// What Ctrl-D sends: the end of the input, for a program that reads lines from a terminal.
const END_OF_TRANSMISSION: u8 = 4;

/// The writing end of the child's standard input.
pub(super) struct Input {
    pipe: Option<File>,
    waiting: VecDeque<u8>,
    /// The pipe is closed when what waits is written.
    ended: bool,
    is_terminal: bool,
    /// Bytes of `waiting` that no writer had credit for.
    uncredited: usize,
}

impl Input {
    /// A child without input.
    pub(super) fn none() -> Self {
        Self { pipe: None, waiting: VecDeque::new(), ended: true, is_terminal: false, uncredited: 0 }
    }

    /// Input that comes from a writer.
    pub(super) fn pipe(pipe: OwnedFd) -> io::Result<Self> {
        // A process that does not read its input must not hold up the loop that takes its output.
        rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        Ok(Self { pipe: Some(File::from(pipe)), ended: false, ..Self::none() })
    }

    /// Input that is all there, then its end.
    pub(super) fn given(pipe: OwnedFd, bytes: Vec<u8>) -> io::Result<Self> {
        let uncredited = bytes.len();
        Ok(Self { waiting: bytes.into(), ended: true, uncredited, ..Self::pipe(pipe)? })
    }

    /// A terminal, which does not block.
    pub(super) fn terminal(controller: OwnedFd) -> Self {
        Self { pipe: Some(File::from(controller)), ended: false, is_terminal: true, ..Self::none() }
    }

    /// How much more a writer may send.
    pub(super) fn room(&self) -> u32 {
        let waiting = self.waiting.len() - self.uncredited;
        u32::try_from(INPUT_WINDOW.saturating_sub(waiting)).unwrap_or(0)
    }

    /// Takes input; returns how many bytes of it need not wait.
    pub(super) fn push(&mut self, bytes: &[u8]) -> u32 {
        if self.pipe.is_none() || self.ended {
            // The process has closed its input, or never had any: as in a shell, what comes for it is thrown away.
            return u32::try_from(bytes.len()).unwrap_or(0);
        }
        self.waiting.extend(bytes);
        self.flush()
    }

    /// Nothing more comes; returns how many bytes need not wait any more.
    pub(super) fn end(&mut self) -> u32 {
        if self.is_terminal {
            self.waiting.push_back(END_OF_TRANSMISSION);
            self.uncredited += 1;
        } else {
            self.ended = true;
        }
        self.flush()
    }

    /// The pipe, if something waits for room in it.
    pub(super) fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().filter(|_| !self.waiting.is_empty()).map(|pipe| pipe.as_fd())
    }

    /// Writes what the process takes; returns how many bytes a writer has room for again.
    pub(super) fn flush(&mut self) -> u32 {
        let mut written = 0;
        while let Some(pipe) = &mut self.pipe {
            if self.waiting.is_empty() {
                break;
            }
            match pipe.write(self.waiting.as_slices().0) {
                Ok(n) => {
                    self.waiting.drain(..n);
                    written += n;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The process has closed its input: what waits for it is thrown away, and its writer may go on.
                Err(_) => {
                    written += self.waiting.len();
                    self.waiting.clear();
                    self.pipe = None;
                }
            }
        }
        if self.ended && self.waiting.is_empty() {
            self.pipe = None;
        }
        let uncredited = written.min(self.uncredited);
        self.uncredited -= uncredited;
        u32::try_from(written - uncredited).unwrap_or(0)
    }
}
