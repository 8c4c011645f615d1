//! Releases: the numbered, immutable history of an app, and how each ended.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Attempt, BuildId, Cause, ConfigId, Digest, ReleaseVersion, Timestamp, Username};

/// One release: a build with a config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Identity on the wire.
    pub uuid: Uuid,
    /// Its number.
    pub version: ReleaseVersion,
    /// Who made it.
    pub owner: Username,
    /// When.
    pub created: Timestamp,
    /// What changed, for people.
    pub summary: String,
    /// What it is called once it failed.
    pub failed_summary: String,
    /// What runs; `None` before the first build.
    pub build: Option<BuildId>,
    /// The number of that build.
    pub build_seq: Option<u32>,
    /// With which settings.
    pub config: ConfigId,
    /// Equal digests mean equal behaviour.
    pub digest: Digest,
    /// Generation of the batch that created it: the fence of its release command.
    pub attempt: Attempt,
}

/// How a release ended; written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Outcome {
    /// It became live.
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// It never became live; the release before it went on serving.
    Failed {
        /// Why.
        cause: Cause,
        /// When.
        at: Timestamp,
    },
    /// A newer change took its place before it was live.
    Superseded {
        /// The release that took it.
        by: ReleaseVersion,
        /// When.
        at: Timestamp,
    },
}

impl Outcome {
    /// Whether the release failed.
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}
