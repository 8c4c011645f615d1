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
    /// The commit that is built.
    pub sha: String,
    /// Who pushed.
    pub by: Username,
    /// When the pack was durable.
    pub since: Timestamp,
    /// The release that its build became, once there is one.
    pub release: Option<ReleaseVersion>,
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
