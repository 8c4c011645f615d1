//! The socket of an SSH client, with the place that it takes and the deadlines that no state of the protocol holds up.

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
    time::{Instant, Sleep},
};
use tokio_util::sync::CancellationToken;

/// How long a client may leave what is sent to it unread.
const UNREAD: Duration = Duration::from_secs(45);
/// How many bytes it has to read for each second that it is waited for, after the first [`UNREAD`].
const MIN_RATE: u64 = 1024;
/// How long a client may take to close its end once this side has closed its own.
const CLOSE: Duration = Duration::from_secs(10);

/// A socket that ends itself unless `known` is cancelled within the grace time, or before it has to make room for another
/// one; and, later on, when the client does not read what is sent to it, or does not close after this side has.
///
/// Whatever state the protocol is in, it reads or writes; so nobody else has to notice a deadline. While a write waits,
/// the session watches no timer of its own, and keep-alives have no effect. The place among the connections is given
/// back with the socket, and not a moment before.
pub(super) struct SshSocket {
    /// `None` once a deadline has passed.
    socket: Option<TcpStream>,
    /// Ready when a deadline for everything has passed; `None` for who is known.
    grace: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    known: CancellationToken,
    /// Whether this side has closed its end.
    closing: bool,
    unread: Unread,
    _place: OwnedSemaphorePermit,
}

/// How well a client reads.
struct Unread {
    patience: Duration,
    waited: Duration,
    bytes: u64,
    /// Since when a write waits, and until when.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Unread {
    fn new(patience: Duration) -> Self {
        Self { patience, waited: Duration::ZERO, bytes: 0, waiting: None }
    }

    fn has_read(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        self.bytes += bytes as u64;
    }

    /// Ready when a write has waited too long.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let earned = self.patience.saturating_add(Duration::from_secs(self.bytes / MIN_RATE));
        let left = self.patience.min(earned.saturating_sub(self.waited));
        let (_, deadline) =
            self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        deadline.as_mut().poll(context)
    }
}

impl SshSocket {
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
        Self {
            socket: Some(socket),
            grace: Some(Box::pin(grace)),
            known,
            closing: false,
            unread: Unread::new(UNREAD),
            _place: place,
        }
    }

    /// The socket, as long as the client is known or has time left.
    fn open(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        if self.known.is_cancelled() && !self.closing {
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

impl AsyncRead for SshSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.open(context)?.poll_read(context, buffer)
    }
}

impl AsyncWrite for SshSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = self.open(context)?.poll_write(context, data) {
            self.unread.has_read(*written.as_ref().unwrap_or(&0));
            return Poll::Ready(written);
        }
        if self.unread.poll_over(context).is_pending() {
            return Poll::Pending;
        }
        self.socket = None;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open(context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            self.closing = true;
            self.grace = Some(Box::pin(tokio::time::sleep(CLOSE)));
        }
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
    ) -> (TcpStream, SshSocket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let place = Arc::clone(places).try_acquire_owned().unwrap();
        (client, SshSocket::new(socket, grace, known.clone(), evicted.clone(), place))
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

    #[tokio::test]
    async fn who_reads_nothing_or_next_to_nothing_loses_the_socket() {
        for reads in [false, true] {
            let (known, places) = (CancellationToken::new(), Arc::new(Semaphore::new(1)));
            let (mut client, mut socket) =
                pair(Duration::from_secs(600), &known, &CancellationToken::new(), &places).await;
            known.cancel();
            socket.unread.patience = Duration::from_millis(50);
            let reading = tokio::spawn(async move {
                while reads && client.read_u8().await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                std::future::pending::<()>().await;
            });
            let error = loop {
                if let Err(error) = socket.write_all(&[0; 8 << 10]).await {
                    break error;
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(socket.socket.is_none(), "whatever the session does now, nobody is connected");
            reading.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_close_is_not_waited_for() {
        let (known, places) = (CancellationToken::new(), Arc::new(Semaphore::new(1)));
        let (_client, mut socket) =
            pair(Duration::from_secs(600), &known, &CancellationToken::new(), &places).await;
        known.cancel();
        socket.shutdown().await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
