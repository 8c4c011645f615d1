//! What must run: the only thing that a scheduler ever sees. Immutable, lowered once per change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AppRef, Artifact, Generation, HealthChecks, ProcessType, ReleaseVersion, TemplateId};

/// The desired state of one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Whose.
    pub app: AppRef,
    /// Fence: a scheduler refuses one that is older than what it accepted.
    pub generation: Generation,
    /// Groups by process type; a type that is missing shall not run.
    pub groups: BTreeMap<ProcessType, ProcessGroup>,
}

/// One process type: so many instances of one template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessGroup {
    /// Wanted ready instances.
    pub scale: u32,
    /// Identity of the template.
    pub id: TemplateId,
    /// What each instance is.
    pub template: Template,
}

/// Everything that makes an instance what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Release it belongs to.
    pub release: ReleaseVersion,
    /// Its process type.
    pub process: ProcessType,
    /// What is started.
    pub launch: Launch,
    /// Environment as given; `PORT` of an instance is the scheduler's and wins.
    pub env: BTreeMap<String, String>,
    /// Limits, in the words of the config (`512M`, `500m/1`).
    #[serde(default)]
    pub limits: Limits,
    /// Probes.
    #[serde(default)]
    pub probes: HealthChecks,
    /// Whether it must listen on `$PORT` to be ready, and is routed to.
    pub routable: bool,
    /// Seconds between SIGTERM and SIGKILL.
    pub grace_seconds: u32,
    /// Restart counter of its type.
    pub restarts: u64,
}

/// What is started: a command in the folder of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The bytes.
    pub artifact: Artifact,
    /// The command, as in the Procfile; a shell in the app's own process reads it.
    pub command: String,
}

/// Resource limits as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory.
    #[serde(default)]
    pub memory: Option<String>,
    /// CPU.
    #[serde(default)]
    pub cpu: Option<String>,
}

impl Workload {
    /// A workload with nothing in it.
    pub fn empty(app: AppRef, generation: Generation) -> Self {
        Self { app, generation, groups: BTreeMap::new() }
    }
}
