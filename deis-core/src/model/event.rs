//! Events: what happened, appended in the same batch as the change itself.

use serde::{Deserialize, Serialize};

use super::{AppName, Cause, DomainName, Formation, PushOutcome, ReleaseVersion, Timestamp, Username};

/// Something that happened to an app or the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Who did it; `None` for the platform itself.
    pub by: Option<Username>,
    /// To which app; `None` for the platform.
    pub app: Option<AppName>,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[non_exhaustive]
pub enum EventKind {
    /// An app was created.
    AppCreated,
    /// Destruction of an app was asked for. An event of the platform, for those of the app go with it.
    AppDestroying {
        /// The app.
        app: AppName,
    },
    /// A build was recorded.
    BuildCreated {
        /// The build's uuid.
        build: super::BuildId,
    },
    /// A config was recorded.
    ConfigUpdated {
        /// The config's uuid.
        config: super::ConfigId,
    },
    /// A release was made.
    ReleaseCreated {
        /// Its number.
        version: ReleaseVersion,
        /// Its summary.
        summary: String,
    },
    /// A rollout entered a phase.
    RolloutPhase {
        /// The release that it carries.
        version: ReleaseVersion,
        /// The phase's name.
        phase: String,
    },
    /// A release became live.
    ReleaseLive {
        /// Its number.
        version: ReleaseVersion,
    },
    /// A release failed.
    ReleaseFailed {
        /// Its number.
        version: ReleaseVersion,
        /// Why.
        cause: Cause,
    },
    /// A release gave way to a newer one.
    ReleaseSuperseded {
        /// Its number.
        version: ReleaseVersion,
        /// The newer one.
        by: ReleaseVersion,
    },
    /// A scale or restart that changes no release failed and was undone.
    ScaleFailed {
        /// Why.
        cause: Cause,
    },
    /// The wanted scales changed.
    Scaled {
        /// The new formation.
        formation: Formation,
    },
    /// A restart was asked for.
    Restarted {
        /// Process types or instances.
        what: String,
    },
    /// The scheduler refuses what is to be held.
    WorkloadRefused {
        /// What it said.
        reason: String,
    },
    /// A domain was added.
    DomainAdded {
        /// The domain.
        domain: DomainName,
    },
    /// A domain was removed.
    DomainRemoved {
        /// The domain.
        domain: DomainName,
    },
    /// A router could not take a domain.
    DomainRefused {
        /// The domain.
        domain: DomainName,
        /// What it said.
        reason: String,
    },
    /// A user registered.
    UserRegistered,
    /// A push ended.
    Push {
        /// What became of it.
        outcome: PushOutcome,
    },
}
