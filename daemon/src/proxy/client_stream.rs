//! The stream of a client's connection: time limits on its silence, and an end that the client can hear.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};
use tokio_io_timeout::TimeoutStream;

use super::{ProxyOptions, connection::ConnectionState};

/// The stream of a client's connection, whatever carries it.
pub(super) struct ClientStream<S> {
    stream: Pin<Box<TimeoutStream<S>>>,
    state: ConnectionState,
    options: Arc<ProxyOptions>,
    limit: Pin<Box<Sleep>>,
    /// Whether the client has to read within the stall timeout.
    limits_writes: bool,
    closing: Closing,
}

/// How far a connection's end is.
enum Closing {
    /// It is in use.
    Open,
    /// Our side has ended. What the client still sends is read and thrown away until this time.
    Lingering(Instant),
    /// It has ended.
    Closed,
}

impl<S: AsyncRead + AsyncWrite> ClientStream<S> {
    pub(super) fn new(stream: S, options: &Arc<ProxyOptions>) -> (Self, ConnectionState) {
        let mut stream = Box::pin(TimeoutStream::new(stream));
        // A client that does not read what it asked for would hold an instance for good.
        stream.as_mut().set_write_timeout_pinned(Some(options.stall_timeout));
        let state = ConnectionState::new(options);
        let limit = Box::pin(tokio::time::sleep(options.head_timeout));
        let options = Arc::clone(options);
        let closing = Closing::Open;
        (Self { stream, state: state.clone(), options, limit, limits_writes: true, closing }, state)
    }

    /// Whoever reads an upgraded connection may pause, as in front of a pager: it ends by the limit on silence both ways
    /// of a tunnel, or when the client no longer says that it is there.
    fn lift_write_limit(&mut self) {
        if self.limits_writes && self.state.is_upgraded() {
            self.limits_writes = false;
            self.stream.as_mut().set_write_timeout_pinned(None);
        }
    }

    /// Reads what the client still sends and throws it away, until it has ended its side, is silent, or time is up.
    /// Many clients send their whole body before they read the answer. If the socket were closed meanwhile, the kernel
    /// would answer their next bytes with a reset, which discards the answer on its way (RFC 9112, 9.6).
    fn poll_linger(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let mut space = [0; 16 * 1024];
        loop {
            let mut buf = ReadBuf::new(&mut space);
            match self.stream.as_mut().poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && Instant::now() < until => {
                    let silent = Instant::now() + self.options.linger_silence;
                    self.limit.as_mut().reset(silent.min(until));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        self.limit.as_mut().poll(cx)
    }
}

impl<S: AsyncRead + AsyncWrite> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        // Bytes that are there win over a deadline that has passed meanwhile: the time in which nobody polled is ours,
        // not the client's.
        if let Poll::Ready(read) = self.stream.as_mut().poll_read(cx, buf) {
            self.state.received(&buf.filled()[before..]);
            return Poll::Ready(read);
        }
        // The deadline is asked for at each wait, because it changes with the phase: a head has to come soon, the next
        // request may take its time, and while an answer is on its way only the body's own limit counts.
        let Some(deadline) = self.state.deadline(cx.waker()) else { return Poll::Pending };
        if self.limit.deadline() != deadline {
            self.limit.as_mut().reset(deadline);
        }
        ready!(self.limit.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite> AsyncWrite for ClientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.lift_write_limit();
        self.stream.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.closing, Closing::Open) {
            let ended = ready!(self.stream.as_mut().poll_shutdown(cx));
            // Our side ends first, so that the client sees the end of the answer at once. Reading on is for the
            // kernel's sake, and needed only if the client may still be sending.
            if ended.is_err() || !self.state.has_unread() {
                self.closing = Closing::Closed;
                return Poll::Ready(ended);
            }
            let now = Instant::now();
            let (silence, until) = (now + self.options.linger_silence, now + self.options.linger);
            self.limit.as_mut().reset(silence.min(until));
            self.closing = Closing::Lingering(until);
        }
        // This is reached on every later poll: lingering goes on where it was.
        if let Closing::Lingering(until) = self.closing {
            ready!(self.poll_linger(cx, until));
            self.closing = Closing::Closed;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lift_write_limit();
        self.stream.as_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
