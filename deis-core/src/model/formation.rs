//! How many of each process type an app wants, and how often each was restarted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BuildKind, ProcessType};

/// Scales and restart counters of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formation {
    /// Wanted instances by process type; removed types stay with 0.
    pub scales: BTreeMap<ProcessType, u32>,
    /// Restarts asked for by process type: part of the template, so a restart is a rolling replacement.
    #[serde(default)]
    pub restarts: BTreeMap<ProcessType, u64>,
    /// Kind of the newest build that shaped it; `None` before the first.
    #[serde(default)]
    pub kind: Option<BuildKind>,
}

impl Formation {
    /// Wanted instances of a type; 0 if it is not named.
    pub fn scale(&self, process: &ProcessType) -> u32 {
        self.scales.get(process).copied().unwrap_or(0)
    }

    /// Restart counter of a type.
    pub fn restarts(&self, process: &ProcessType) -> u64 {
        self.restarts.get(process).copied().unwrap_or(0)
    }
}
