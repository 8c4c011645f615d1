//! What a git client sends, between the transport that receives it and the thread that reads it.

use std::{
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use futures_util::Stream;
use tokio::{
    io::AsyncBufReadExt as _,
    runtime::Handle,
    sync::mpsc,
    time::{Instant, Sleep},
};
use tokio_util::io::{StreamReader, SyncIoBridge};

/// How long a client may be silent while it is waited for.
const IDLE: Duration = Duration::from_secs(30);
/// How long it may be waited for in all.
const TOTAL: Duration = Duration::from_secs(15 * 60);
/// How many bytes a client has to send for each second that it is waited for, after the first [`IDLE`].
const MIN_RATE: u64 = 1024;
/// Chunks that may wait, so that a slow disk slows the sender.
const CHUNKS: usize = 16;

/// What a client sends: the end of the channel is the end of the input, an error an early one. A client that stops
/// sending, or sends next to nothing, ends it too.
pub struct GitInput {
    reader: StreamReader<Paced, Bytes>,
    packed: bool,
}

/// The two ends of an input; `packed` with gzip, as git does over HTTP.
pub(super) fn git_input(packed: bool) -> (mpsc::Sender<io::Result<Bytes>>, GitInput) {
    within(packed, IDLE, TOTAL)
}

fn within(packed: bool, idle: Duration, total: Duration) -> (mpsc::Sender<io::Result<Bytes>>, GitInput) {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let stream = Paced { chunks, idle, total, waited: Duration::ZERO, bytes: 0, waiting: None };
    (sender, GitInput { reader: StreamReader::new(stream), packed })
}

impl GitInput {
    /// Waits until the client says something, or ends, so that no thread has to.
    ///
    /// # Errors
    ///
    /// `TimedOut` if it says nothing, and what the transport reports.
    pub async fn wait(&mut self) -> io::Result<()> {
        self.reader.fill_buf().await.map(drop)
    }

    /// A reader for a thread that may block. Call it, and what it returns, on such a thread only.
    pub fn into_blocking(self, runtime: Handle) -> Box<dyn Read + Send> {
        let packed = self.packed;
        let plain = SyncIoBridge::new_with_handle(self.reader, runtime);
        // The decoder reads as soon as it is made.
        if packed { Box::new(MultiGzDecoder::new(plain)) } else { Box::new(plain) }
    }
}

impl std::fmt::Debug for GitInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitInput").field("packed", &self.packed).finish_non_exhaustive()
    }
}

/// The chunks of a client that keeps a pace. Only the time counts in which it is waited for.
struct Paced {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    idle: Duration,
    total: Duration,
    waited: Duration,
    bytes: u64,
    /// Since when it is waited for, and until when.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Paced {
    /// How long the next chunk may take.
    fn patience(&self) -> Duration {
        let earned = self.idle.saturating_add(Duration::from_secs(self.bytes / MIN_RATE));
        self.idle.min(earned.saturating_sub(self.waited)).min(self.total.saturating_sub(self.waited))
    }
}

impl Stream for Paced {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(chunk) = this.chunks.poll_recv(context) {
            if let Some((since, _)) = this.waiting.take() {
                this.waited += since.elapsed();
            }
            if let Some(Ok(chunk)) = &chunk {
                this.bytes += chunk.len() as u64;
            }
            return Poll::Ready(chunk);
        }
        let patience = this.patience();
        let (_, deadline) =
            this.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(patience))));
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into()))),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    async fn read(input: GitInput) -> io::Result<String> {
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || io::read_to_string(input.into_blocking(runtime))).await.unwrap()
    }

    #[tokio::test]
    async fn a_client_that_stops_sending_ends_the_input() {
        for (idle, total) in [(Duration::from_millis(1), TOTAL), (IDLE, Duration::from_millis(1))] {
            let (sender, mut input) = within(false, idle, total);
            assert_eq!(input.wait().await.map_err(|e| e.kind()), Err(io::ErrorKind::TimedOut));
            assert_eq!(read(input).await.map_err(|e| e.kind()), Err(io::ErrorKind::TimedOut));
            drop(sender);
        }
        let (sender, mut input) = git_input(false);
        sender.send(Ok(Bytes::from_static(b"all of it"))).await.unwrap();
        drop(sender);
        input.wait().await.unwrap();
        assert_eq!(read(input).await.unwrap(), "all of it");
    }

    #[tokio::test]
    async fn what_is_packed_is_unpacked_where_it_may_block() {
        let (sender, input) = git_input(true);
        let reading = tokio::spawn(read(input));
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"0011want something").unwrap();
        // A byte at a time, so that the reader waits in every place.
        for byte in packed.finish().unwrap() {
            sender.send(Ok(Bytes::from(vec![byte]))).await.unwrap();
        }
        drop(sender);
        assert_eq!(reading.await.unwrap().unwrap(), "0011want something");
    }

    #[tokio::test]
    async fn a_client_has_to_send_more_than_a_byte_now_and_then() {
        let (sender, input) = within(false, Duration::from_millis(50), TOTAL);
        let reading = tokio::spawn(read(input));
        // Never silent for as long as it may be, and far from a kilobyte in a second.
        while sender.send(Ok(Bytes::from_static(b"x"))).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(reading.await.unwrap().map_err(|e| e.kind()), Err(io::ErrorKind::TimedOut));
    }
}
