//! Connections to apps that know whether they were used before, and whether the app has said anything since; and on
//! which an answer survives that the app no longer reads the request.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Extensions, Uri};
use hyper_util::{
    client::legacy::{
        Error,
        connect::{Connected, Connection, HttpConnector},
    },
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_io_timeout::TimeoutStream;
use tower_service::Service;

/// Makes such connections.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    write_timeout: Duration,
}

impl Connector {
    /// One that waits this long for a connection, and this long for an app to take more of a request.
    pub(super) fn new(connect_timeout: Duration, write_timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(connect_timeout));
        tcp.set_nodelay(true);
        Self { tcp, write_timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<UpstreamStream>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connecting = self.tcp.call(address);
        let write_timeout = self.write_timeout;
        Box::pin(async move {
            let mut stream = Box::pin(TimeoutStream::new(connecting.await?.into_inner()));
            // An app that has answered may stop reading and still keep its connection, for good.
            stream.as_mut().set_write_timeout_pinned(Some(write_timeout));
            Ok(TokioIo::new(UpstreamStream {
                stream,
                trace: ConnectionTrace::default(),
                has_received: false,
                is_reset: false,
            }))
        })
    }
}

/// What happened on a connection so far.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionTrace(Arc<Happened>);

#[derive(Debug, Default)]
struct Happened {
    answered: AtomicBool,
    heard: AtomicBool,
}

impl ConnectionTrace {
    /// Notes that a request was answered on this response's connection: the next one finds it used.
    pub(super) fn answered(extensions: &Extensions) {
        if let Some(trace) = extensions.get::<Self>() {
            trace.0.answered.store(true, Ordering::SeqCst);
        }
    }

    /// Whether a kept connection was closed without a word of answer: the app closed it before it knew of the
    /// request, which can therefore be sent again.
    pub(super) fn is_silent_end_of_kept(error: &Error) -> bool {
        let mut extensions = Extensions::new();
        if let Some(connected) = error.connect_info() {
            connected.get_extras(&mut extensions);
        }
        extensions.get::<Self>().is_some_and(|trace| {
            trace.0.answered.load(Ordering::SeqCst) && !trace.0.heard.load(Ordering::SeqCst)
        })
    }
}

/// A connection to an app.
///
/// An app may answer before it has read the request, and close its socket. Its kernel then resets the connection as soon
/// as more of the request arrives, and our next write fails – but the answer that came before the reset is still in our
/// receive buffer. So a failed write is not the end of the connection: writing stops, and reading goes on until the
/// kernel has given out all that it has.
pub(super) struct UpstreamStream {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    trace: ConnectionTrace,
    /// Whether the app has ever sent anything.
    has_received: bool,
    /// Whether the app takes nothing any more.
    is_reset: bool,
}

impl UpstreamStream {
    /// What becomes of a write. After a reset it stays pending for ever without a waker: the reading side of the same
    /// task sees the end of the connection, and ends both.
    fn written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if is_reset(&error) => {
                self.is_reset = true;
                Poll::Pending
            }
            other => other,
        }
    }

    /// Notes that a new request begins, or goes on: what was heard before was about another one.
    fn begin_write(&self) {
        self.trace.0.heard.store(false, Ordering::SeqCst);
    }
}

/// Whether an error says that the other side has closed its socket.
fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

impl Connection for UpstreamStream {
    fn connected(&self) -> Connected {
        self.stream.get_ref().connected().extra(self.trace.clone())
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A reset after the answer's bytes is the app's way to say that it read no further; before them it is a
        // failure.
        let before = buf.filled().len();
        match ready!(self.stream.as_mut().poll_read(cx, buf)) {
            // The end of an answer that ends with its connection. One that says its length is known to be cut off.
            Err(error) if is_reset(&error) && self.has_received => return Poll::Ready(Ok(())),
            read => read?,
        }
        if buf.filled().len() > before {
            self.has_received = true;
            self.trace.0.heard.store(true, Ordering::SeqCst);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_reset {
            return Poll::Pending;
        }
        self.begin_write();
        let written = self.stream.as_mut().poll_write(cx, buf);
        self.written(written)
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
        if self.is_reset {
            return Poll::Pending;
        }
        self.begin_write();
        let written = self.stream.as_mut().poll_write_vectored(cx, bufs);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
