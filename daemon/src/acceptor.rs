//! Taking connections, also while there are no descriptors for one more.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// How often it is said that connections cannot be accepted.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Pause after one could not be: descriptors in use come back, so a pause is better than an end.
const PAUSE: Duration = Duration::from_millis(50);

/// A listener that does not give up.
pub(crate) struct Acceptor {
    listener: TcpListener,
    logged: Option<Instant>,
}

impl Acceptor {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, logged: None }
    }

    /// The next connection; `None` once it shall stop.
    pub(crate) async fn next(&mut self, stop: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => return None,
            };
            let error = match accepted {
                Ok(accepted) => return Some(accepted),
                Err(error) => error,
            };
            if self.logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                self.logged = Some(Instant::now());
                tracing::warn!(%error, "connections cannot be accepted");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
