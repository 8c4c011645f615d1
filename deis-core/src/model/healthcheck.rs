//! Probes of a process, in the shape and with the defaults of Kubernetes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The probes of one process type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthChecks {
    /// Restarts a process that fails it.
    #[serde(rename = "livenessProbe", default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Probe>,
    /// Keeps a process out of rotation while it fails.
    #[serde(rename = "readinessProbe", default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
}

/// A change of one process type's probes: `Some(None)` removes, `None` leaves alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheckPatch {
    /// The liveness probe.
    #[serde(rename = "livenessProbe", default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Option<Probe>>,
    /// The readiness probe.
    #[serde(rename = "readinessProbe", default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Option<Probe>>,
}

/// One probe. Exactly one of the three checks is set; times are seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// A command that must exit with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecCheck>,
    /// A request that must be answered with 2xx or 3xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpCheck>,
    /// A port that must accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<TcpCheck>,
    /// Wait before the first check.
    #[serde(default)]
    pub initial_delay_seconds: u32,
    /// Limit of one check.
    #[serde(default = "one")]
    pub timeout_seconds: u32,
    /// Distance of checks.
    #[serde(default = "ten")]
    pub period_seconds: u32,
    /// Successes in a row that make it pass.
    #[serde(default = "one")]
    pub success_threshold: u32,
    /// Failures in a row that make it fail.
    #[serde(default = "three")]
    pub failure_threshold: u32,
}

fn one() -> u32 {
    1
}
fn three() -> u32 {
    3
}
fn ten() -> u32 {
    10
}

/// A command check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecCheck {
    /// Program and arguments.
    pub command: Vec<String>,
}

/// An HTTP check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// Path of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Port; on one machine each instance has its own `$PORT` and that one is asked.
    #[serde(default)]
    pub port: u16,
    /// Host header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `HTTP` or `HTTPS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Further headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http_headers: Vec<HttpHeader>,
}

/// A header of an HTTP check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A TCP check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpCheck {
    /// Port; on one machine each instance has its own `$PORT` and that one is asked.
    pub port: u16,
}

impl HealthChecks {
    /// The probes for `process` among an app's: its own, or those of `web/cmd` for a routable type.
    pub fn of<'a>(all: &'a BTreeMap<String, Self>, process: &super::ProcessType) -> Option<&'a Self> {
        all.get(process.as_str()).or_else(|| process.is_routable().then(|| all.get("web/cmd")).flatten())
    }
}
