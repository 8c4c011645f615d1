//! Waits for what a back end does in its own time.

use std::time::Duration;

/// How often one looks.
const LOOK: Duration = Duration::from_millis(5);

/// Looks until `look` finds something, and panics with `what` after `patience`.
pub(super) async fn until<T, F>(patience: Duration, what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begun = tokio::time::Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < patience, "waited {patience:?} in vain: {what}");
        tokio::time::sleep(LOOK).await;
    }
}
