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
};
use tokio_util::sync::CancellationToken;

/// A socket that ends itself unless `known` is cancelled within the grace time, or before it has to make room for another
/// one.
///
/// Whatever state the protocol is in, it reads or writes; so nobody else has to notice the deadline. The place among
/// the connections is given back with the socket, and not a moment before.
pub(super) struct GraceSocket {
    /// `None` once the grace time is over.
    socket: Option<TcpStream>,
    /// Ready when it is over; `None` for who is known.
    grace: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    known: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl GraceSocket {
    pub(super) fn new(
        socket: TcpStream,
        grace: Duration,
        known: CancellationToken,
        evicted: CancellationToken,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let grace = async move {
            tokio::select! {
                () = tokio::time::sleep(grace) => {}
                () = evicted.cancelled() => {}
            }
        };
        Self { socket: Some(socket), grace: Some(Box::pin(grace)), known, _place: place }
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

    /// Both ends of a connection, ours with these tokens.
    async fn pair(
        grace: Duration,
        known: &CancellationToken,
        evicted: &CancellationToken,
        places: &Arc<Semaphore>,
    ) -> (TcpStream, GraceSocket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let place = Arc::clone(places).try_acquire_owned().unwrap();
        (client, GraceSocket::new(socket, grace, known.clone(), evicted.clone(), place))
    }

    #[tokio::test]
    async fn the_deadline_drops_the_socket_and_frees_the_place() {
        let (places, never) = (Arc::new(Semaphore::new(1)), CancellationToken::new());
        let (mut client, mut socket) = pair(Duration::from_millis(20), &never, &never, &places).await;
        let error = socket.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "the client sees the end at once");
        assert_eq!(places.available_permits(), 0);
        drop(socket);
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test]
    async fn who_must_make_room_is_ended_unless_it_is_known() {
        let (known, evicted, places) =
            (CancellationToken::new(), CancellationToken::new(), Arc::new(Semaphore::new(2)));
        let long = Duration::from_secs(600);
        let (_client, mut stranger) = pair(long, &CancellationToken::new(), &evicted, &places).await;
        let (mut client, mut friend) = pair(Duration::from_millis(20), &known, &evicted, &places).await;
        known.cancel();
        let reading = tokio::spawn(async move { stranger.read_u8().await.unwrap_err().kind() });
        evicted.cancel();
        assert_eq!(reading.await.unwrap(), io::ErrorKind::TimedOut);
        tokio::time::sleep(Duration::from_millis(40)).await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(friend.read_u8().await.unwrap(), b'x');
    }
}
