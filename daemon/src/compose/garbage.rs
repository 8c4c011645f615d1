//! Removes what nobody needs any more.

use std::time::Duration;

use deis_core::Platform;
use tokio_util::sync::CancellationToken;

use super::{BoxError, backend::Collector};
use crate::push::Pushes;

const PERIOD: Duration = Duration::from_secs(300);

/// Removes repositories and caches of destroyed apps, and artifacts that no process needs, now and then until it is told
/// to stop.
pub(super) async fn collect_garbage(
    platform: Platform,
    artifacts: Collector,
    pushes: Pushes,
    stop: CancellationToken,
) {
    let mut tick = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = collect(&platform, &artifacts, &pushes).await {
            let error = crate::telemetry::chain(&*error);
            tracing::warn!(%error, "garbage could not be collected; the next turn tries again");
        }
    }
}

async fn collect(platform: &Platform, artifacts: &Collector, pushes: &Pushes) -> Result<(), BoxError> {
    // What the ledger never heard of stays: the database may be a restored backup, and repositories are not.
    let destroyed = platform.destroyed_among(&pushes.kept().await?).await?;
    pushes.forget(destroyed).await?;
    artifacts().await
}
