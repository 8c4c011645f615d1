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
