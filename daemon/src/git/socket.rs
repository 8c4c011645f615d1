//! The socket of an SSH client, with the place that it takes and the time that it has to log in.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::Sleep,
};
use tokio_util::sync::CancellationToken;

/// A socket that ends itself unless `known` is cancelled within the grace time.
///
/// Whatever state the protocol is in, it reads or writes; so nobody else has to notice the deadline. The place among
/// the connections is given back with the socket, and not a moment before.
pub(super) struct GraceSocket {
    /// `None` once the grace time is over.
    socket: Option<TcpStream>,
    grace: Option<Pin<Box<Sleep>>>,
    known: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl GraceSocket {
    pub(super) fn new(
        socket: TcpStream,
        grace: Duration,
        known: CancellationToken,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let grace = Some(Box::pin(tokio::time::sleep(grace)));
        Self { socket: Some(socket), grace, known, _place: place }
    }

    /// The socket, as long as the client is known or has time left.
    fn open(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        if self.known.is_cancelled() {
            self.grace = None;
        }
        if let Some(grace) = &mut self.grace
            && grace.as_mut().poll(context).is_ready()
        {
            self.socket = None;
        }
        self.socket.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::TimedOut.into())
    }
}

impl AsyncRead for GraceSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.open(context)?.poll_read(context, buffer)
    }
}

impl AsyncWrite for GraceSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open(context)?.poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open(context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open(context)?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        sync::Semaphore,
    };

    use super::*;

    #[tokio::test]
    async fn the_deadline_drops_the_socket_and_frees_the_place() {
        let places = Arc::new(Semaphore::new(1));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        let grace = Duration::from_millis(20);
        let mut socket = GraceSocket::new(socket, grace, CancellationToken::new(), place);
        let error = socket.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "the client sees the end at once");
        assert_eq!(places.available_permits(), 0);
        drop(socket);
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test]
    async fn who_is_known_has_all_the_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let known = CancellationToken::new();
        let mut socket = GraceSocket::new(socket, Duration::from_millis(20), known.clone(), place);
        known.cancel();
        tokio::time::sleep(Duration::from_millis(40)).await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), b'x');
    }
}
