//! A domain of an app.

use serde::{Deserialize, Serialize};

use super::{AppName, DomainName, Timestamp, Username};

/// A domain record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// The domain, as given (ASCII form); uniqueness and matching ignore case.
    pub name: DomainName,
    /// The app it leads to.
    pub app: AppName,
    /// Who added it.
    pub owner: Username,
    /// When.
    pub created: Timestamp,
}
