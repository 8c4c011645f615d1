//! Configuration of an app: environment, limits, tags, health checks. Immutable once recorded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ConfigId, EnvKey, HealthChecks, Secret, Timestamp, Username};

/// A recorded config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Identity.
    pub id: ConfigId,
    /// Who set it.
    pub owner: Username,
    /// When.
    pub created: Timestamp,
    /// The settings themselves.
    pub data: ConfigData,
}

/// The settings of a config. Keys of the per-type maps are process types, or `web/cmd` for health checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigData {
    /// Environment variables.
    #[serde(default)]
    pub values: BTreeMap<EnvKey, Secret>,
    /// Memory limits, `<limit>` or `<request>/<limit>`.
    #[serde(default)]
    pub memory: BTreeMap<String, String>,
    /// CPU limits.
    #[serde(default)]
    pub cpu: BTreeMap<String, String>,
    /// Node selectors.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Credentials of a private registry.
    #[serde(default)]
    pub registry: BTreeMap<String, Secret>,
    /// Commands run after a process started.
    #[serde(default)]
    pub lifecycle_post_start: BTreeMap<String, String>,
    /// Commands run before a process stops.
    #[serde(default)]
    pub lifecycle_pre_stop: BTreeMap<String, String>,
    /// Seconds between SIGTERM and SIGKILL.
    #[serde(default)]
    pub termination_grace_period: BTreeMap<String, String>,
    /// Probes by process type.
    #[serde(default)]
    pub healthcheck: BTreeMap<String, HealthChecks>,
}

impl ConfigData {
    /// An environment variable by its name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(Secret::expose)
    }
}

/// A change of a map: a value sets, `None` unsets.
pub type MapPatch<K, V> = BTreeMap<K, Option<V>>;

/// A change of a config; whatever it does not name stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigPatch {
    /// Environment variables.
    #[serde(default)]
    pub values: MapPatch<EnvKey, Secret>,
    /// Memory limits.
    #[serde(default)]
    pub memory: MapPatch<String, String>,
    /// CPU limits.
    #[serde(default)]
    pub cpu: MapPatch<String, String>,
    /// Node selectors.
    #[serde(default)]
    pub tags: MapPatch<String, String>,
    /// Credentials of a private registry.
    #[serde(default)]
    pub registry: MapPatch<String, Secret>,
    /// Commands run after a process started.
    #[serde(default)]
    pub lifecycle_post_start: MapPatch<String, String>,
    /// Commands run before a process stops.
    #[serde(default)]
    pub lifecycle_pre_stop: MapPatch<String, String>,
    /// Seconds between SIGTERM and SIGKILL.
    #[serde(default)]
    pub termination_grace_period: MapPatch<String, String>,
    /// Probes by process type; a probe inside a value replaces that probe.
    #[serde(default)]
    pub healthcheck: MapPatch<String, super::HealthCheckPatch>,
}

impl ConfigPatch {
    /// Sets one environment variable.
    #[must_use]
    pub fn set(mut self, key: EnvKey, value: impl Into<Secret>) -> Self {
        self.values.insert(key, Some(value.into()));
        self
    }

    /// Unsets one environment variable.
    #[must_use]
    pub fn unset(mut self, key: EnvKey) -> Self {
        self.values.insert(key, None);
        self
    }
}
