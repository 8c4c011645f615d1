//! How many apps are worked on at once, and how many builds are fetched meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Apps that are worked on at the same time.
const AT_ONCE: usize = 16;
/// Artifacts that are made ready at the same time. Each may take ten minutes, of which this machine mostly waits for
/// somebody else: more of them than of the apps above, and none of them in the place of one.
const PREPARING_AT_ONCE: usize = 64;

/// The bounds of one reconciler. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct WorkPermits {
    work: Arc<Semaphore>,
    preparing: Arc<Semaphore>,
}

impl Default for WorkPermits {
    fn default() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { work: semaphore(AT_ONCE), preparing: semaphore(PREPARING_AT_ONCE) }
    }
}

/// The right to work on one app.
///
/// Work that waits for somebody else's gives the right back meanwhile: sixteen preparers that do not answer would keep
/// every other app from being destroyed, or from going back, for as long as they may take.
#[derive(Debug)]
pub(super) struct WorkPermit {
    permits: WorkPermits,
    /// `None` until it was waited for, and while it is given back.
    held: Mutex<Option<OwnedSemaphorePermit>>,
    asked: Notify,
}

impl WorkPermit {
    pub(super) fn new(permits: &WorkPermits) -> Self {
        Self { permits: permits.clone(), held: Mutex::default(), asked: Notify::new() }
    }

    /// Waits until it is this one's turn.
    pub(super) async fn take(&self) {
        let permit = Arc::clone(&self.permits.work).acquire_owned().await.ok();
        self.set(permit);
    }

    /// Does what is mostly waiting while others work.
    pub(super) async fn without<T>(&self, waiting: impl Future<Output = T>) -> T {
        self.set(None);
        let result = waiting.await;
        self.take().await;
        result
    }

    /// Waits until one more artifact may be made ready; until the answer is dropped.
    pub(super) async fn turn_to_prepare(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits.preparing).acquire_owned().await.ok()
    }

    /// The app has been asked for while it is worked on: perhaps what is waited for is not wanted any more.
    pub(super) fn ask(&self) {
        self.asked.notify_one();
    }

    /// Waits until the app has been asked for.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    fn set(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn so_many_work_at_once_and_no_more_while_none_waits_for_something_else() {
        let permits = WorkPermits::default();
        let working: Vec<WorkPermit> = (0..AT_ONCE).map(|_| WorkPermit::new(&permits)).collect();
        for permit in &working {
            permit.take().now_or_never().unwrap();
        }
        let next = WorkPermit::new(&permits);
        assert!(next.take().now_or_never().is_none());
        working[0].without(async { next.take().now_or_never().unwrap() }).now_or_never();
        // The one that waited for something else waits for its turn again.
        assert!(working[0].take().now_or_never().is_none());
        drop(next);
        working[0].take().now_or_never().unwrap();
    }

    #[tokio::test]
    async fn so_many_are_made_ready_at_once_and_no_more() {
        let permit = WorkPermit::new(&WorkPermits::default());
        let turn = || permit.turn_to_prepare().now_or_never();
        let mut held: Vec<OwnedSemaphorePermit> =
            (0..PREPARING_AT_ONCE).map(|_| turn().flatten().unwrap()).collect();
        assert!(turn().is_none());
        held.pop();
        assert!(turn().flatten().is_some());
    }
}
