//! Upgraded connections: bytes both ways until either side ends them, nobody says anything, or the daemon stops.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::last_activity::LastActivity;

/// Carries an upgraded connection and keeps `held` as long.
pub(super) async fn tunnel<T: Send>(
    client: OnUpgrade,
    app: OnUpgrade,
    idle: Duration,
    stop: CancellationToken,
    held: T,
) {
    let carried = async {
        // Both sides are waited for before a byte passes: neither side hears of what the other one said to HTTP.
        let (Ok(client), Ok(app)) = tokio::join!(client, app) else { return };
        let activity = LastActivity::new();
        let mut client = Watched { stream: TokioIo::new(client), activity: activity.clone() };
        let mut app = TokioIo::new(app);
        tokio::select! {
            // One side's end is passed on, and the other may go on: half-closed streams are part of other protocols.
            // What then never comes to its end, the limit on silence ends. An error is the end, of which both sides
            // know.
            _ = tokio::io::copy_bidirectional(&mut client, &mut app) => {}
            () = activity.idle_for(idle) => {}
        }
    };
    tokio::select! {
        () = carried => {}
        () = stop.cancelled() => {}
    }
    // Lease, share of the address and place in the app's count go together, after the last byte.
    drop(held);
}

/// The client's side; all that passes is read from it or written to it.
struct Watched {
    stream: TokioIo<Upgraded>,
    activity: LastActivity,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.activity.touch();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.activity.touch();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
