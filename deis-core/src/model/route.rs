//! Where requests for an app go.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AppRef, DomainName, Generation, ProcessType};

/// Fence of an app's routes, compared in order: route changes outside rollouts, then the workload whose types they name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouteFence {
    /// `head.routes`.
    pub routes: u64,
    /// Generation of the workload whose routed types they name.
    pub generation: Generation,
}

impl fmt::Display for RouteFence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.routes, self.generation)
    }
}

/// All routes of one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRoutes {
    /// Whose.
    pub app: AppRef,
    /// Fence.
    pub fence: RouteFence,
    /// Process type that gets the requests; `None` while the app has none that could.
    pub process: Option<ProcessType>,
    /// Domains, in byte order. A single label means a name under the platform's domain.
    pub domains: Vec<DomainName>,
    /// Whether requests are served at all.
    pub mode: RouteMode,
}

/// What happens to requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RouteMode {
    /// They are served.
    #[default]
    Serve,
    /// They get a maintenance page.
    Maintenance,
    /// The app is not routable: unknown host.
    Closed,
}
