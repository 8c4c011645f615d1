//! The reconciler: brings about what the ledger says, one step at a time.

mod destroy;
mod event_lines;
mod memory;
mod orphans;
mod output;
mod pass;
mod perform;
mod prepare;
mod publish;
mod reconciler;
mod renumber;
mod work_permit;
mod work_queue;
mod workers;

use tokio::sync::watch;

pub(in crate::service) use memory::Memory;
pub use orphans::Orphans;
pub(in crate::service) use output::TaskOutputs;
pub use workers::Workers;

/// What a pass did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// One step; look again at once.
    Advanced,
    /// It waits for something; look again when hinted at, or after a while, for deadlines.
    Waiting,
    /// A back end is away, or has seen something newer than what could be read; look again after a pause.
    BackendUnavailable,
    /// Nothing to do until something changes.
    Idle,
    /// There is no such app.
    AppGone,
}

/// Waits for the order to stop, or for the end of whoever could give it.
async fn stop_signal(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await.is_ok();
}
