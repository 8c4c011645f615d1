//! Connections to apps that know whether they were used before, and whether the app has said anything since.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
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
use tower_service::Service;

/// Makes such connections.
#[derive(Clone)]
pub(super) struct Connector(pub(super) HttpConnector);

impl Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connecting = self.0.call(address);
        Box::pin(async move {
            let stream = connecting.await?.into_inner();
            Ok(TokioIo::new(Wire { stream, trace: Trace::default() }))
        })
    }
}

/// What happened on a connection so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace(Arc<Happened>);

#[derive(Debug, Default)]
struct Happened {
    answered: AtomicBool,
    heard: AtomicBool,
}

impl Trace {
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
pub(super) struct Wire {
    stream: TcpStream,
    trace: Trace,
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.trace.clone())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.trace.0.heard.store(true, Ordering::SeqCst);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.trace.0.heard.store(false, Ordering::SeqCst);
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.trace.0.heard.store(false, Ordering::SeqCst);
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
