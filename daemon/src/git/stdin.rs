//! A blocking reader at the end of an asynchronous stream.

use std::{
    io::{self, Read},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use tokio::{
    runtime::Handle,
    sync::mpsc,
    time::{Instant, timeout},
};

/// How long a client may be silent while it is waited for.
const IDLE: Duration = Duration::from_secs(30);
/// How long it may take in all for what it has to say.
const TOTAL: Duration = Duration::from_secs(15 * 60);

/// Reads what is sent into a channel; the end of the channel is the end of the input, an error an early one. A client
/// that stops sending ends it too: a thread waits here.
pub(super) struct Stdin {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
    runtime: Handle,
    idle: Duration,
    until: Instant,
}

/// The writing end: at most so many chunks wait, so that a slow disk slows the sender. Call it within the runtime.
pub(super) fn stdin() -> (mpsc::Sender<io::Result<Bytes>>, Stdin) {
    within(IDLE, TOTAL)
}

fn within(idle: Duration, total: Duration) -> (mpsc::Sender<io::Result<Bytes>>, Stdin) {
    let (sender, chunks) = mpsc::channel(16);
    let until = Instant::now() + total;
    (sender, Stdin { chunks, rest: Bytes::new(), runtime: Handle::current(), idle, until })
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            let left = self.until.saturating_duration_since(Instant::now());
            let wait = self.idle.min(left);
            // Timers are made within the runtime.
            match self.runtime.block_on(async { timeout(wait, self.chunks.recv()).await }) {
                Ok(Some(chunk)) => self.rest = chunk?,
                Ok(None) => return Ok(0),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        let count = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_stops_sending_ends_the_input() {
        for (idle, total) in [(Duration::from_millis(1), TOTAL), (IDLE, Duration::from_millis(1))] {
            let (sender, mut reader) = within(idle, total);
            let read = tokio::task::spawn_blocking(move || reader.read(&mut [0; 8])).await.unwrap();
            assert_eq!(read.map_err(|e| e.kind()), Err(io::ErrorKind::TimedOut));
            drop(sender);
        }
        let (sender, mut reader) = stdin();
        sender.send(Ok(Bytes::from_static(b"all of it"))).await.unwrap();
        drop(sender);
        let text = tokio::task::spawn_blocking(move || io::read_to_string(&mut reader)).await.unwrap();
        assert_eq!(text.unwrap(), "all of it");
    }
}
