//! The wish of an operator to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and Ctrl-C, from when this value is made: none that comes while nobody waits is missed.
pub(crate) struct StopSignals(Option<(Signal, Signal)>);

impl StopSignals {
    /// Begins to listen. Where that is impossible, signals do what they always do, which is to end the process.
    pub(crate) fn listen() -> Self {
        let streams = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        Self(if let (Ok(terminate), Ok(interrupt)) = streams { Some((terminate, interrupt)) } else { None })
    }

    /// Waits for the next.
    pub(crate) async fn next(&mut self) {
        match &mut self.0 {
            Some((terminate, interrupt)) => tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            },
            None => std::future::pending().await,
        }
    }
}
