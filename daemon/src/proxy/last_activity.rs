//! When bytes last passed, for limits on silence that no single read or write can see.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// When bytes last passed. Clones share it.
#[derive(Clone)]
pub(super) struct LastActivity(Arc<Mutex<Instant>>);

impl LastActivity {
    /// Counts from now, so that silence from the beginning on is noticed too.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Notes that bytes pass now.
    pub(super) fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits until nothing has passed for this long.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            // The lock is given back before the wait: whoever carries bytes takes it for each read.
            let due = *self.0.lock().unwrap_or_else(PoisonError::into_inner) + limit;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }
}
