//! What a scheduler sees of an app.

use serde::{Deserialize, Serialize};

use super::{Cause, Generation, InstanceName, ProcessType, ReleaseVersion, TemplateId, Timestamp};

/// Everything a scheduler has of one app, and the generation it accepted last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Generation accepted last; 0 if the scheduler knows nothing of the app.
    pub generation: Generation,
    /// All instances, leaving ones included.
    pub instances: Vec<Instance>,
    /// Process types for which no instance can be made at all, and why (`Quota`, `Unschedulable`).
    pub blocked: Vec<(ProcessType, Cause)>,
    /// Why nothing can be expected to move at present, if so: the clock of a rollout stands still for a bounded time.
    pub stalled: Option<Stall>,
    /// What is left of an app that is being removed besides its instances, and what holds it, for people (a namespace
    /// that still goes); the name of the app is free only when nothing remains.
    pub remains: Option<String>,
}

/// Why a scheduler cannot make progress at present, through no fault of the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stall {
    /// The machines that run instances do not act on anything yet, as after an outage of the cluster; what is seen of
    /// instances may be old.
    Outage,
    /// An image of the newest workload is being fetched.
    Pulling,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its name.
    pub name: InstanceName,
    /// Its process type.
    pub process: ProcessType,
    /// Its template.
    pub template: TemplateId,
    /// Its release, for people.
    pub release: ReleaseVersion,
    /// What it does.
    pub state: InstanceState,
    /// Whether it has been ready without a break for the minimum ready time of its group. Counted from zero where that
    /// cannot be known, as after a restart of the scheduler.
    #[serde(default)]
    pub available: bool,
    /// When it started.
    pub started: Timestamp,
    /// What went wrong last, even if it may still come right: what a time-out is blamed on.
    #[serde(default)]
    pub trouble: Option<Cause>,
}

/// What an instance does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum InstanceState {
    /// Started, not ready yet.
    Starting,
    /// Ready and in rotation.
    Ready,
    /// Was ready and fails its probe now: out of rotation, may come back.
    Unready,
    /// On its way out: takes no new requests, will be stopped.
    Draining,
    /// Down, and the scheduler waits before it starts it again, or has evidence that it will not work.
    Failing {
        /// The evidence.
        cause: Cause,
    },
}

impl Instance {
    /// Whether it takes requests.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, InstanceState::Ready)
    }

    /// Whether it is on its way out.
    pub fn is_draining(&self) -> bool {
        matches!(self.state, InstanceState::Draining)
    }
}
