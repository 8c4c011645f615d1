//! Build runs: what became of each attempt to build, the failed ones too.

use serde::{Deserialize, Serialize};

use super::{Attempt, BuildId, Timestamp, Username};

/// One attempt to build what was pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRun {
    /// Its number among those of the app, from 1; also the attempt of its task.
    pub attempt: Attempt,
    /// Full id of the commit that is built.
    pub sha: String,
    /// Who pushed it.
    pub by: Username,
    /// When the push was opened.
    pub since: Timestamp,
    /// How it stands.
    pub state: BuildRunState,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The build that it became.
    pub build: Option<BuildId>,
    /// Why there is none, for people.
    pub cause: Option<String>,
}

impl BuildRun {
    /// Why there is no build, as a sentence for people.
    pub fn reason(&self) -> String {
        let cause = self.cause.as_deref().unwrap_or_default();
        match self.state {
            BuildRunState::Cancelled => format!("the build was {cause}"),
            BuildRunState::Running => "the build has not ended".to_owned(),
            state if cause.is_empty() => format!("the build has ended already ({})", state.word()),
            _ => cause.to_owned(),
        }
    }
}

/// How a build run stands. All but the first are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BuildRunState {
    /// It has not ended.
    Running,
    /// There is a build.
    Succeeded,
    /// The source could not be built, or not released.
    Failed,
    /// Somebody ended it.
    Cancelled,
    /// The platform ended before it did. It is not repeated.
    Interrupted,
}

impl BuildRunState {
    /// Whether nothing changes any more.
    pub fn is_final(self) -> bool {
        self != Self::Running
    }

    /// The word for it, as stored.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}
