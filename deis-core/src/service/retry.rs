//! Changes that lose a race are planned anew, a bounded number of times.

use std::time::Duration;

/// How often a change is planned anew because another process, or the reconciler, was faster.
pub(super) const TRIES: u32 = 20;
/// By how much longer each time such a change waits before it is planned anew.
const BACKOFF: Duration = Duration::from_millis(2);

/// Waits the longer, the more races were lost.
pub(super) async fn back_off(lost: u32) {
    if lost > 0 {
        tokio::time::sleep(BACKOFF * lost).await;
    }
}
