//! The reconciler: brings about what the ledger says, one step at a time.

mod destroy;
mod event_lines;
mod orphans;
mod output;
mod pass;
mod perform;
mod workers;

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

use crate::{
    model::{Digest, Generation},
    plan::rollout::Budget,
    port::Prepared,
};

pub use orphans::Orphans;
pub(in crate::service) use output::TaskOutputs;
pub use workers::Workers;

/// What a pass did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// One step; look again at once.
    Stepped,
    /// It waits for something; look again when hinted at, or after a while, for deadlines.
    Waiting,
    /// A back end is away; look again after a pause.
    Blind,
    /// Nothing to do until something changes.
    Resting,
    /// There is no such app.
    Gone,
}

/// What this process remembers of an app. All of it can be lost.
#[derive(Debug, Default)]
pub(in crate::service) struct Volatile {
    /// What people were told last of the rollout.
    progress: Option<String>,
    /// The rollout that the rest is about.
    generation: Generation,
    /// What the clock counts for.
    budget: Budget,
    /// Artifact that is known to be ready, held so that it stays.
    artifact: Option<(Digest, Prepared)>,
    /// Why the artifact will never be ready.
    artifact_failed: Option<String>,
    /// Generation that the scheduler refuses, until it is asked again.
    refused: Option<Generation>,
    /// The same, once people were told.
    refusal_told: Option<Generation>,
    clock: ActiveTime,
}

/// Time that a rollout has been driven; it stands still while a back end is away or nobody drives.
///
/// While the scheduler is stalled through no fault of the rollout, another clock runs in its place, for that is no excuse
/// for ever.
#[derive(Clone, Debug, Default)]
struct ActiveTime {
    spent: Duration,
    stalled: Duration,
    /// Both together, as far as they are on record.
    saved: Duration,
    since: Option<Instant>,
}

impl ActiveTime {
    /// Starts at what the record says.
    fn start(spent: Duration, stalled: Duration) -> Self {
        Self { spent, stalled, saved: spent + stalled, since: None }
    }

    /// Counts the time since the last pass that waited.
    fn tick(&mut self, is_stalled: bool) {
        let now = Instant::now();
        if let Some(since) = self.since.replace(now) {
            let clock = if is_stalled { &mut self.stalled } else { &mut self.spent };
            *clock += now - since;
        }
    }

    /// What is not on record yet.
    fn unsaved(&self) -> Duration {
        (self.spent + self.stalled).saturating_sub(self.saved)
    }

    /// Does not count until the next tick.
    fn stand_still(&mut self) {
        self.since = None;
    }
}

/// Waits for the order to stop, or for the end of whoever could give it.
async fn stop_signal(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await.is_ok();
}

#[cfg(test)]
mod tests;
