//! Housekeeping.

use std::time::Duration;

use deis_build::SlugFolders;
use deis_core::Platform;
use tokio_util::sync::CancellationToken;

use super::BoxError;
use crate::push::Pushes;

const PERIOD: Duration = Duration::from_secs(300);

/// Removes what nobody needs any more, now and then, until it is told to stop: repositories and caches of destroyed apps, unpacked slugs that no instance uses.
pub(super) async fn keep_house(
    platform: Platform,
    slugs: SlugFolders,
    pushes: Pushes,
    stop: CancellationToken,
) {
    let mut tick = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = tidy(&platform, &slugs, &pushes).await {
            tracing::warn!(error = %crate::telemetry::chain(&*error), "housekeeping failed; the next one tries again");
        }
    }
}

async fn tidy(platform: &Platform, slugs: &SlugFolders, pushes: &Pushes) -> Result<(), BoxError> {
    // What the ledger never heard of stays: the database may be a restored backup, and repositories are not.
    let destroyed = platform.destroyed_among(&pushes.kept().await?).await?;
    pushes.forget(destroyed).await?;
    slugs.prune(&[]).await?;
    Ok(())
}
