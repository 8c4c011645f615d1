//! A client's connection: how long it may be idle, how long a head may take, and what a head said before it was parsed.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};
use tokio_io_timeout::TimeoutStream;

use super::ProxyOptions;

/// Shared by a connection and the requests on it.
#[derive(Clone)]
pub(super) struct Pace(Arc<Mutex<State>>);

struct State {
    options: ProxyOptions,
    phase: Phase,
    /// Raw bytes of the head that is being read.
    head: Vec<u8>,
    /// Who waits for the client without a time limit.
    reader: Option<Waker>,
}

enum Phase {
    /// No request is under way; the connection ends at this time.
    Idle(Instant),
    /// A head is being read, until this time.
    Head(Instant),
    /// A request is answered; its body has a limit of its own.
    Busy,
    /// It is no HTTP connection any more.
    Upgraded,
}

impl Pace {
    fn new(options: &ProxyOptions) -> Self {
        let phase = Phase::Head(Instant::now() + options.head_timeout);
        Self(Arc::new(Mutex::new(State { options: options.clone(), phase, head: Vec::new(), reader: None })))
    }

    /// Begins the answer to a request whose head was parsed.
    pub(super) fn begin(&self) -> Turn {
        let mut state = self.lock();
        state.phase = Phase::Busy;
        let has_length = names_a_length(&std::mem::take(&mut state.head));
        drop(state);
        Turn { pace: self.clone(), has_length }
    }

    /// Until when the client may stay silent; without a limit, `reader` is woken as soon as there is one.
    fn deadline(&self, reader: &Waker) -> Option<Instant> {
        let mut state = self.lock();
        match state.phase {
            Phase::Idle(at) | Phase::Head(at) => Some(at),
            Phase::Busy | Phase::Upgraded => {
                state.reader = Some(reader.clone());
                None
            }
        }
    }

    fn read(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Idle(_)) && !bytes.is_empty() {
            state.phase = Phase::Head(Instant::now() + state.options.head_timeout);
        }
        if matches!(state.phase, Phase::Head(_)) {
            let room = state.options.most_head.saturating_sub(state.head.len());
            state.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request's turn on its connection, until its answer has ended.
pub(super) struct Turn {
    pace: Pace,
    /// Whether the head had a `Content-Length`, also one that the parser dropped in favour of a transfer coding. A head
    /// that came before the answer to the last request had ended was not seen; then this says no, and the parser's
    /// own rule holds: the transfer coding counts, and the connection ends.
    pub(super) has_length: bool,
}

impl Turn {
    /// The connection becomes another protocol's.
    pub(super) fn upgrade(self) {
        self.pace.lock().phase = Phase::Upgraded;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.pace.lock();
        if matches!(state.phase, Phase::Busy) {
            state.phase = Phase::Idle(Instant::now() + state.options.idle_timeout);
            if let Some(reader) = state.reader.take() {
                reader.wake();
            }
        }
    }
}

fn names_a_length(raw: &[u8]) -> bool {
    let start = raw.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(raw.len());
    let lines = raw[start..].split(|b| *b == b'\n').take_while(|line| !line.trim_ascii().is_empty());
    lines
        .filter_map(|line| line.split(|b| *b == b':').next())
        .any(|name| name.eq_ignore_ascii_case(b"content-length"))
}

/// The stream of a client's connection.
pub(super) struct Intake {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    pace: Pace,
    limit: Pin<Box<Sleep>>,
}

impl Intake {
    pub(super) fn new(stream: TcpStream, options: &ProxyOptions) -> (Self, Pace) {
        let mut stream = Box::pin(TimeoutStream::new(stream));
        // A client that does not read what it asked for would hold an instance for good.
        stream.as_mut().set_write_timeout_pinned(Some(options.stall_timeout));
        let pace = Pace::new(options);
        let limit = Box::pin(tokio::time::sleep(options.head_timeout));
        (Self { stream, pace: pace.clone(), limit }, pace)
    }
}

impl AsyncRead for Intake {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if let Poll::Ready(read) = self.stream.as_mut().poll_read(cx, buf) {
            self.pace.read(&buf.filled()[before..]);
            return Poll::Ready(read);
        }
        let Some(deadline) = self.pace.deadline(cx.waker()) else { return Poll::Pending };
        if self.limit.deadline() != deadline {
            self.limit.as_mut().reset(deadline);
        }
        ready!(self.limit.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Intake {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_seen_in_heads_only() {
        for (raw, has) in [
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nCONTENT-length: 3\r\n\r\n", true),
            ("\r\nPOST / HTTP/1.1\ncontent-length:3\n\n", true),
            ("POST / HTTP/1.1\r\nX: Content-Length: 3\r\n\r\nContent-Length: 3\r\n", false),
            ("", false),
        ] {
            assert_eq!(names_a_length(raw.as_bytes()), has, "{raw:?}");
        }
    }
}
