//! Housekeeping.

use std::{collections::BTreeSet, time::Duration};

use deis_build::Artifacts;
use deis_core::{Actor, PageQuery, Platform, Username};
use tokio_util::sync::CancellationToken;

use super::BoxError;
use crate::push::Pushes;

const PERIOD: Duration = Duration::from_secs(300);

/// Removes what nobody needs any more, now and then, until it is told to stop: repositories and caches of apps that are
/// gone, unpacked slugs that no instance uses.
pub(super) async fn keep_house(
    platform: Platform,
    artifacts: Artifacts,
    pushes: Pushes,
    stop: CancellationToken,
) {
    let mut tick = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = tidy(&platform, &artifacts, &pushes).await {
            tracing::warn!(error = %crate::telemetry::chain(&*error), "housekeeping failed; the next one tries again");
        }
    }
}

async fn tidy(platform: &Platform, artifacts: &Artifacts, pushes: &Pushes) -> Result<(), BoxError> {
    // Listed before the apps are: what an app that is made meanwhile gets is not taken for a leftover.
    let kept = pushes.kept().await?;
    let system = Actor::System { name: Username::new("deis")? };
    let all = platform.session(system).apps(PageQuery { offset: 0, limit: usize::MAX }).await?;
    let alive: BTreeSet<_> = all.items.iter().map(|app| app.uid).collect();
    pushes.forget(kept.difference(&alive).copied().collect()).await?;
    artifacts.prune(&[]).await?;
    Ok(())
}
