//! Who runs an app's processes: desired state in, observation out.

use std::fmt;

use async_trait::async_trait;

use super::BoxError;
use crate::model::{AppRef, Cause, Generation, InstanceName, Observation, Workload};

/// Runs workloads.
///
/// # Contract
/// * A workload is reached by rolling: new instances come up before old ones leave, so that never fewer than
///   `min(ready before, scale)` are ready; a new one takes requests as soon as it is ready, and an old one leaves only
///   when a new one is *available*: ready without a break for its group's `min_ready`; an instance that leaves first drains, then gets SIGTERM, after its
///   grace period SIGKILL.
/// * An instance whose template id is in the workload is not touched.
/// * Calls return once accepted, never once running; nothing is lost by dropping a future.
///
/// # Implementing
/// Run `conformance::scheduler` over it.
#[async_trait]
pub trait Scheduler: fmt::Debug + Send + Sync + 'static {
    /// Makes `workload` the app's desired state. The same generation again has no effect; an older one than
    /// accepted before, or any after `remove` of this uid, is [`SchedulerError::Stale`].
    async fn apply(&self, workload: &Workload) -> Result<(), SchedulerError>;

    /// What runs now, and the generation accepted last (zero if it knows nothing of the app).
    async fn observe(&self, app: &AppRef) -> Result<Observation, SchedulerError>;

    /// Replaces these instances: the replacement is available before each leaves. Unknown names are ignored.
    async fn evict(&self, app: &AppRef, instances: &[InstanceName]) -> Result<(), SchedulerError>;

    /// Stops everything of this life of the app and refuses it from then on. Unknown app: `Ok`. Returns once
    /// accepted; `observe` shows when nothing is left.
    async fn remove(&self, app: &AppRef) -> Result<(), SchedulerError>;

    /// The apps that have instances here, to find orphans. A list alone deletes nothing.
    async fn apps(&self) -> Result<Vec<AppRef>, SchedulerError>;
}

/// Why a scheduler call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// Somebody with a newer view was here before.
    #[error("generation {given} is older than {current}, which was accepted before")]
    Stale {
        /// What was given.
        given: Generation,
        /// What was accepted before.
        current: Generation,
    },
    /// It will never run this workload.
    #[error("the workload was refused: {cause}")]
    Rejected {
        /// Why: what a release that asks for it fails with.
        cause: Cause,
    },
    /// It cannot be reached; whether the call took effect is unknown.
    #[error("the scheduler is not available")]
    Unavailable(#[source] BoxError),
}
