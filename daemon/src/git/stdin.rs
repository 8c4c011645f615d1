//! A blocking reader at the end of an asynchronous stream.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

/// Reads what is sent into a channel; the end of the channel is the end of the input, an error an early one.
pub(super) struct Stdin {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

/// The writing end: at most so many chunks wait, so that a slow disk slows the sender.
pub(super) fn stdin() -> (mpsc::Sender<io::Result<Bytes>>, Stdin) {
    let (sender, chunks) = mpsc::channel(16);
    (sender, Stdin { chunks, rest: Bytes::new() })
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.rest = chunk?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
