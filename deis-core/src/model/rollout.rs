//! A rollout: the stored intent that carries one change of desired state to its end.

use serde::{Deserialize, Serialize};

use super::{Attempt, Cause, Formation, Generation, ReleaseVersion, Timestamp};

/// The newest rollout of an app. There is at most one; a newer change replaces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// `g`: generation of the target workload; `g + 1` is the target without retiring groups, `g + 2` the fallback.
    pub generation: Generation,
    /// The release it carries.
    pub target: ReleaseVersion,
    /// Fence of the target's release command.
    pub attempt: Attempt,
    /// Releases without an outcome that this rollout decides besides its target, oldest first.
    pub absorbed: Vec<ReleaseVersion>,
    /// Whether the target itself awaits an outcome; a scale or restart of live does not.
    pub decides: bool,
    /// Where it is.
    pub phase: Phase,
    /// What is known of the release command.
    pub command: ReleaseCommand,
    /// Whether live has process types that the target lacks.
    pub retires: bool,
    /// Generation held when the first of the unfinished rollouts began.
    pub live_generation: Generation,
    /// Formation when the first of the unfinished rollouts began: what a failure restores.
    pub restored: Formation,
    /// Active time spent since Rolling began (or, when going back, since Reverting began), in milliseconds.
    pub spent_ms: u64,
    /// Time for which that clock has stood still because nothing could move (see [`Stall`](super::Stall)), since the
    /// rollout began, in milliseconds.
    pub stalled_ms: u64,
    /// Active time that it may spend, in milliseconds.
    pub deadline_ms: u64,
    /// When it began, for people.
    pub started: Timestamp,
}

/// Phase of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// The artifact is made ready and the release command runs; nothing of the target runs yet.
    Staging,
    /// New instances come up, old ones leave.
    Rolling,
    /// All are up; routes follow.
    Routing,
    /// It goes back to the fallback.
    Reverting {
        /// Why.
        cause: Cause,
    },
    /// The target is live.
    Succeeded,
    /// The fallback is held.
    Failed {
        /// Why.
        cause: Cause,
        /// Whether the fallback itself is not as it should be.
        #[serde(default)]
        fallback_unhealthy: bool,
    },
}

impl Phase {
    /// Whether the rollout has ended.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed { .. })
    }

    /// Its name, as in events and progress lines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Rolling => "rolling",
            Self::Routing => "routing",
            Self::Reverting { .. } => "reverting",
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
        }
    }
}

/// How a rollout ended, and with it every change that it carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "end")]
pub enum RolloutEnd {
    /// All of them are in force.
    Succeeded,
    /// All of them were undone.
    Failed {
        /// Why.
        cause: Cause,
    },
}

/// What is known of a release command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum ReleaseCommand {
    /// The target declares none, or it has run already.
    None,
    /// Declared, not started.
    Declared,
    /// Started (recorded before it ran, so that it runs at most once per attempt).
    Started {
        /// The platform process that started it.
        by: uuid::Uuid,
    },
}
