//! Everything that depends on where a platform runs: its state, its processes, its routes, its slugs.
//!
//! Only this folder names back ends by their types. The rest of the daemon has [`Backends`], so another kind of platform
//! is another file here and nothing else; a test reads the imports.

mod local;
mod slugs;

use std::{collections::BTreeSet, fmt, path::Path, sync::Arc};

use deis_build::{BuildOutputs, Pipeline};
use deis_core::{
    model::AppRef,
    port::{LogStore, Preparer, Router, Scheduler, Store, TaskRunner, Wake},
    routing::{Endpoints, RouteTable},
};
use futures_util::future::BoxFuture;

use super::{BoxError, StartError};
use crate::{datadir::DataDir, settings::Settings};

/// The back ends of one platform.
pub(super) struct Backends {
    /// Keeps the state.
    pub(super) store: Arc<dyn Store>,
    /// Runs the apps' processes.
    pub(super) scheduler: Arc<dyn Scheduler>,
    /// Runs release commands, builds and one-off commands.
    pub(super) runner: Arc<dyn TaskRunner>,
    /// Takes the apps' routes.
    pub(super) router: Arc<dyn Router>,
    /// Keeps the apps' lines.
    pub(super) logs: Arc<dyn LogStore>,
    /// Makes sure that the scheduler can get an artifact.
    pub(super) preparer: Preparer,
    /// Turns commits into artifacts.
    pub(super) builder: Pipeline,
    /// Keeps what builds printed.
    pub(super) outputs: BuildOutputs,
    /// Removes artifacts that no process needs any more.
    pub(super) collector: Collector,
    /// What the scheduler and the runner wake the reconciler by.
    pub(super) wake: Wake,
    /// Which app a host means: what the router fills and the proxy reads.
    pub(super) routes: Arc<RouteTable>,
    /// Which instances take requests: what the scheduler fills and the proxy reads.
    pub(super) endpoints: Endpoints,
}

/// Removes what is not needed any more. It is called now and then, and an error is told and tried again.
pub(super) type Collector = Arc<dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

impl Backends {
    /// Opens the back ends that the settings ask for: those of this machine, on the data folder.
    ///
    /// # Errors
    /// A part of the data folder cannot be used.
    pub(super) async fn open(settings: &Settings, data: &DataDir) -> Result<Self, StartError> {
        local::open_backends(settings, data).await
    }
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backends")
            .field("store", &self.store)
            .field("scheduler", &self.scheduler)
            .field("runner", &self.runner)
            .finish_non_exhaustive()
    }
}

/// Becomes a process that a back end has started by this executable, and never returns, if this process is one. It
/// comes first in `main`.
pub(crate) fn become_helper_if_asked() {
    local::become_helper_if_asked();
}

/// Stops all instances and tasks of a data folder, as a drained stop would. What shall run stays on record, what was
/// printed stays in the logs. Returns the apps that had instances.
///
/// # Errors
/// A part of the data folder cannot be used.
pub(crate) async fn stop_apps(data: &DataDir) -> Result<Vec<AppRef>, StartError> {
    local::stop_apps(data).await
}

/// The processes of all apps' instances below a data folder, whoever has it, as their supervisors have recorded them.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn recorded_processes(data: &Path) -> std::io::Result<BTreeSet<u32>> {
    local::recorded_processes(data)
}
