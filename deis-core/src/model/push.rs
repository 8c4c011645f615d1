//! A push: the record that carries a received commit to the moment its ref moves.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Attempt, ReleaseVersion, Timestamp, Username};

/// An open push of an app; there is at most one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// Identity, chosen by the receiver: what tells an own lost answer from another's push.
    pub id: uuid::Uuid,
    /// The refs that move when the build is live, all or none; the first is the one that is built.
    pub updates: Vec<RefUpdate>,
    /// The commit that is built; where nothing is, what the first ref names or named.
    pub sha: String,
    /// Who pushed.
    pub by: Username,
    /// When the push was opened.
    pub since: Timestamp,
    /// The process that carries it out. `None` once that is known to be dead: a release that it made is followed, but
    /// the next push need not wait.
    pub owner: Option<uuid::Uuid>,
    /// When the owner said last that it is alive.
    pub renewed: Timestamp,
    /// Its build run; `None` if nothing is built.
    pub build_run: Option<Attempt>,
    /// The release that its build became, once there is one.
    pub release: Option<ReleaseVersion>,
}

impl Push {
    /// How often an owner says that it is alive.
    pub const RENEW_EVERY: Duration = Duration::from_secs(10);
    /// An owner that has been silent for so long is dead.
    pub const DEAD_AFTER: Duration = Duration::from_secs(30);

    /// Whether others have to wait for it at the time `now`.
    pub fn is_held(&self, now: Timestamp) -> bool {
        let silent = Duration::from_millis(u64::try_from(now.0.saturating_sub(self.renewed.0)).unwrap_or(0));
        self.owner.is_some() && silent < Self::DEAD_AFTER
    }

    /// What is pushed, by whom and since when, for somebody who has to wait for it.
    pub fn holder(&self) -> String {
        format!("{} by {}, since {}", short(&self.sha), self.by, self.since.to_rfc3339())
    }
}

/// A wanted change of one ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefUpdate {
    /// Full name (`refs/heads/main`).
    pub name: String,
    /// Commit before, 40 hex digits; `None` if the ref did not exist.
    pub old: Option<String>,
    /// Commit after; `None` deletes.
    pub new: Option<String>,
}

/// What became of a push. Prints as the end of a sentence that begins with who pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
#[non_exhaustive]
pub enum PushOutcome {
    /// Its build is live.
    Deployed {
        /// The commit.
        sha: String,
        /// The release.
        release: ReleaseVersion,
        /// Why not every ref has moved, if so.
        unmoved: Option<String>,
    },
    /// Tags or branches were stored, and nothing was built.
    Stored {
        /// Some of the refs.
        refs: Vec<String>,
    },
    /// Refs were deleted.
    Deleted {
        /// Some of the refs.
        refs: Vec<String>,
    },
    /// Refs that needed no build could not be moved.
    NotStored {
        /// Why.
        reason: String,
    },
    /// Its build or its release failed.
    Failed {
        /// The commit.
        sha: String,
        /// Why.
        reason: String,
    },
    /// Another push moved what it wanted to move.
    Overtaken,
    /// The process that carried it out ended before there was a release.
    Interrupted {
        /// The commit.
        sha: String,
    },
    /// The process that carried it out ended, and the next push took its place.
    Replaced {
        /// The commit.
        sha: String,
    },
}

impl fmt::Display for PushOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployed { sha, release, unmoved } => {
                write!(f, "pushed {} as {release}", short(sha))?;
                match unmoved {
                    Some(reason) => write!(f, ", but not every ref has moved: {reason}; push again"),
                    None => Ok(()),
                }
            }
            Self::Stored { refs } => write!(f, "stored {}", refs.join(", ")),
            Self::Deleted { refs } => write!(f, "deleted {}", refs.join(", ")),
            Self::NotStored { reason } => write!(f, "pushed refs that were not stored: {reason}"),
            Self::Failed { sha, reason } => write!(f, "pushed {}, which failed: {reason}", short(sha)),
            Self::Overtaken => f.write_str("pushed, and another push was faster"),
            Self::Interrupted { sha } => {
                write!(f, "pushed {}, which was interrupted; push it again", short(sha))
            }
            Self::Replaced { sha } => {
                write!(f, "pushed {}, which was interrupted and gave way to the next push", short(sha))
            }
        }
    }
}

fn short(sha: &str) -> &str {
    sha.get(..7).unwrap_or(sha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_held_while_its_owner_says_so() {
        let at = |seconds: i64| Timestamp(seconds * 1000);
        let push = Push {
            id: uuid::Uuid::nil(),
            updates: Vec::new(),
            sha: "0123456789".to_owned(),
            by: Username::new("ann").unwrap(),
            since: at(0),
            owner: Some(uuid::Uuid::nil()),
            renewed: at(100),
            build_run: None,
            release: None,
        };
        assert!(push.is_held(at(100)) && push.is_held(at(129)));
        assert!(push.is_held(at(90)), "a clock that was set back kills nobody");
        assert!(!push.is_held(at(130)));
        assert!(!Push { owner: None, ..push }.is_held(at(100)));
    }
}
