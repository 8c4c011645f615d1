//! A push: the record that carries a received commit to the moment its ref moves.

use serde::{Deserialize, Serialize};

use super::{ReleaseVersion, Timestamp, Username};

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
    /// When the pack was durable.
    pub since: Timestamp,
    /// The release that its build became, once there is one.
    pub release: Option<ReleaseVersion>,
    /// Whoever pushed is gone with the process that served them: the release is followed, but the next push need not
    /// wait for it.
    #[serde(default)]
    pub orphaned: bool,
}

impl Push {
    /// What is pushed, by whom and since when, for somebody who has to wait for it.
    pub fn holder(&self) -> String {
        let sha: String = self.sha.chars().take(7).collect();
        format!("{sha} by {}, since {}", self.by, self.since.to_rfc3339())
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
