//! A domain of an app.

use std::collections::BTreeMap;

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

/// The names below a domain of two labels, and whose they are: a wildcard and another app's name that it matches
/// exclude each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The app of each name; names are in lower case.
    pub names: BTreeMap<String, AppName>,
}
