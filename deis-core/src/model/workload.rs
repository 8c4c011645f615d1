//! What must run: the only thing that a scheduler ever sees. Immutable, lowered once per change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    AppRef, Artifact, Command, Environment, Generation, HealthChecks, ProcessType, ReleaseVersion, Secret,
    TemplateId,
};

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
    /// Seconds for which a new instance must be ready without a break before it counts as available: then an old one
    /// may leave. Not part of the template, so changing it restarts nothing.
    pub min_ready: u32,
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
    pub env: Environment,
    /// What it may use of memory and CPU.
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
    /// Labels that a machine must have to run it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Credentials for the registry of its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryAuth>,
    /// Commands around its life.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
}

/// What is started: a command in the files of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The bytes.
    pub artifact: Artifact,
    /// The command.
    pub command: Command,
}

/// What an instance may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory in bytes.
    #[serde(default)]
    pub memory: Amount,
    /// CPU in thousandths of one.
    #[serde(default)]
    pub cpu: Amount,
}

/// How much of something an instance gets for certain, and at most. Where both are given, the request is not above
/// the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// So much is set aside for it; `None`: whatever the back end does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u64>,
    /// More it does not get; `None`: there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Credentials of a private registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryAuth {
    /// Host of the registry; `None`: the one in the image's name.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Name of the account; may be empty.
    pub username: Secret,
    /// Its password or token; may be empty.
    pub password: Secret,
}

/// Commands that a shell runs inside an instance, beside its process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// After the process has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_start: Option<String>,
    /// Before the process is told to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<String>,
}

impl Template {
    /// An instance of a release that needs nothing but what it starts.
    pub fn new(release: ReleaseVersion, process: ProcessType, launch: Launch) -> Self {
        Self {
            release,
            routable: process.is_routable(),
            process,
            launch,
            env: Environment::new(),
            limits: Limits::default(),
            probes: HealthChecks::default(),
            grace_seconds: 30,
            restarts: 0,
            tags: BTreeMap::new(),
            registry: None,
            hooks: Hooks::default(),
        }
    }
}

impl Hooks {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.post_start.is_none() && self.pre_stop.is_none()
    }
}

impl Workload {
    /// A workload with nothing in it.
    pub fn empty(app: AppRef, generation: Generation) -> Self {
        Self { app, generation, groups: BTreeMap::new() }
    }
}
