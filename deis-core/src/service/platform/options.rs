//! Numbers and names of a platform that an operator may change.

use std::{collections::BTreeSet, time::Duration};

use crate::plan::constants;

/// Names that apps cannot have unless an operator says otherwise: the platform answers to them itself, or did in the
/// original, or people take them for the platform's.
pub const RESERVED_NAMES: [&str; 10] = [
    "deis",
    "deis-builder",
    "deis-workflow-manager",
    "grafana",
    "platform",
    "localhost",
    "api",
    "registry",
    "router",
    "www",
];

/// Numbers and names that an operator may change.
#[derive(Clone, Debug)]
pub struct PlatformOptions {
    /// Active time that a rollout may take.
    pub deploy_deadline: Duration,
    /// Longest run of a release command.
    pub release_command_limit: Duration,
    /// Longest one-off command.
    pub run_limit: Duration,
    /// App names that are refused.
    pub reserved_names: BTreeSet<String>,
    /// Apps that a user may have who is no administrator.
    pub max_user_apps: usize,
    /// How often every app is looked at although nothing hinted at it.
    pub tick: Duration,
}

impl Default for PlatformOptions {
    fn default() -> Self {
        Self {
            deploy_deadline: constants::DEPLOY_DEADLINE,
            release_command_limit: constants::RELEASE_COMMAND_LIMIT,
            run_limit: Duration::from_secs(20 * 60),
            reserved_names: RESERVED_NAMES.map(str::to_owned).into(),
            max_user_apps: constants::MAX_USER_APPS,
            tick: Duration::from_secs(10),
        }
    }
}

impl PlatformOptions {
    /// Changes the active time that a rollout may take.
    #[must_use]
    pub fn with_deploy_deadline(mut self, deadline: Duration) -> Self {
        self.deploy_deadline = deadline;
        self
    }

    /// Changes the app names that are refused.
    #[must_use]
    pub fn with_reserved_names(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.reserved_names = names.into_iter().collect();
        self
    }
    /// Changes how many apps a user may have who is no administrator.
    #[must_use]
    pub fn with_max_user_apps(mut self, count: usize) -> Self {
        self.max_user_apps = count;
        self
    }
}
