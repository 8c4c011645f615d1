//! What the local back ends are told by their caller.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use super::artifact::Unpacker;
use crate::{
    model::Tool,
    plan::constants,
    port::{LogStore, Wake},
    routing::Endpoints,
};

/// Settings of [`LocalScheduler`](super::LocalScheduler) and [`LocalRunner`](super::LocalRunner).
#[derive(Clone)]
pub struct LocalOptions {
    pub(super) run_dir: PathBuf,
    pub(super) unpacker: Unpacker,
    pub(super) endpoints: Endpoints,
    pub(super) wake: Wake,
    pub(super) shim: ShimProgram,
    pub(super) ports: RangeInclusive<u16>,
    pub(super) path: String,
    pub(super) logs: Option<Arc<dyn LogStore>>,
    pub(super) open_files: Option<u64>,
    pub(super) timing: Timing,
    pub(super) tools: BTreeMap<Tool, LocalTool>,
    pub(super) depots: Option<PathBuf>,
}

/// How a program of the platform is run on this machine.
#[derive(Clone, Debug)]
pub struct LocalTool {
    /// Absolute path.
    pub program: PathBuf,
    /// Name that it is called by (`argv[0]`); the path if `None`.
    pub argv0: Option<String>,
    /// Arguments.
    pub args: Vec<String>,
}

/// Which program is started as the shim.
#[derive(Clone, Debug, Default)]
pub enum ShimProgram {
    /// This executable once more; its `main` calls [`shim::run_if_asked`](super::shim::run_if_asked) first.
    #[default]
    ThisExecutable,
    /// Another one whose `main` does so, such as `deis-shim` of this crate.
    Path(PathBuf),
}

/// Time limits; the defaults are those of [`plan::constants`](crate::plan::constants).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timing {
    /// Longest wait for requests in flight before an instance is stopped all the same.
    pub drain_limit: Duration,
    /// A process that is not ready after so long counts as failing.
    pub start_budget: Duration,
    /// A process that listens elsewhere for so long counts as not listening.
    pub not_listening_after: Duration,
    /// So many losses of readiness within `readiness_window`, before an instance was ever available, count as failing.
    pub readiness_losses: usize,
    /// See `readiness_losses`.
    pub readiness_window: Duration,
    /// An instance that was never available and does not get its readiness back for so long counts as failing.
    pub readiness_regain: Duration,
    /// So many ends within `crash_window` are a crash loop.
    pub crash_exits: usize,
    /// See `crash_exits`.
    pub crash_window: Duration,
    /// First wait before a process is started again; doubles each time.
    pub backoff_first: Duration,
    /// Longest wait before a process is started again.
    pub backoff_most: Duration,
    /// A process without any check is ready once it ran for so long: one that ends at once never is.
    pub unprobed_ready_after: Duration,
    /// How long a port is not given out again.
    pub port_rest: Duration,
    /// Between SIGTERM and SIGKILL when a task is stopped.
    pub task_grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            drain_limit: constants::DRAIN_LIMIT,
            start_budget: constants::START_BUDGET,
            not_listening_after: constants::NOT_LISTENING_AFTER,
            readiness_losses: constants::READINESS_LOSSES,
            readiness_window: constants::READINESS_WINDOW,
            readiness_regain: constants::READINESS_REGAIN,
            crash_exits: constants::CRASH_LOOP_EXITS,
            crash_window: constants::CRASH_LOOP_WINDOW,
            backoff_first: constants::BACKOFF_FIRST,
            backoff_most: constants::BACKOFF_MOST,
            unprobed_ready_after: Duration::from_secs(1),
            port_rest: Duration::from_secs(60),
            task_grace: Duration::from_secs(5),
        }
    }
}

impl LocalOptions {
    /// Instances and tasks live in folders below `run_dir`, which is made when it is missing and must be an
    /// absolute path; `unpacker` gives the files of artifacts.
    pub fn new(run_dir: impl Into<PathBuf>, unpacker: Unpacker) -> Self {
        Self {
            run_dir: run_dir.into(),
            unpacker,
            endpoints: Endpoints::default(),
            wake: Wake::default(),
            shim: ShimProgram::default(),
            ports: 20000..=29999,
            path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            logs: None,
            open_files: None,
            timing: Timing::default(),
            tools: BTreeMap::new(),
            depots: None,
        }
    }

    /// Another folder for instances and tasks.
    #[must_use]
    pub fn with_run_dir(mut self, run_dir: impl Into<PathBuf>) -> Self {
        self.run_dir = run_dir.into();
        self
    }

    /// The table that ready instances are put into.
    #[must_use]
    pub fn with_endpoints(mut self, endpoints: Endpoints) -> Self {
        self.endpoints = endpoints;
        self
    }

    /// Who is told that something changed.
    #[must_use]
    pub fn with_wake(mut self, wake: Wake) -> Self {
        self.wake = wake;
        self
    }

    /// Which program is started as the shim.
    #[must_use]
    pub fn with_shim(mut self, shim: ShimProgram) -> Self {
        self.shim = shim;
        self
    }

    /// The ports that instances get. Keep out of the range of outgoing connections (32768–60999).
    #[must_use]
    pub fn with_ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.ports = ports;
        self
    }

    /// `PATH` of processes whose environment has none.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Where apps are told of the ends of their instances.
    #[must_use]
    pub fn with_logs(mut self, logs: Arc<dyn LogStore>) -> Self {
        self.logs = Some(logs);
        self
    }

    /// How many files an app may open before it asks for more, where this process raised its own number.
    #[must_use]
    pub fn with_open_files(mut self, soft_limit: u64) -> Self {
        self.open_files = Some(soft_limit);
        self
    }

    /// How a program of the platform is run. A task that needs one that is not named here is refused.
    #[must_use]
    pub fn with_tool(mut self, tool: Tool, program: LocalTool) -> Self {
        self.tools.insert(tool, program);
        self
    }

    /// Where tools exchange files with whoever started them: the folder `<app uid>/<attempt>` in this one is named to
    /// a tool as `DEIS_DEPOT`. The runner neither makes nor removes it.
    #[must_use]
    pub fn with_depots(mut self, folder: impl Into<PathBuf>) -> Self {
        self.depots = Some(folder.into());
        self
    }

    /// Other time limits than the engine's.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }
}

impl fmt::Debug for LocalOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalOptions")
            .field("run_dir", &self.run_dir)
            .field("shim", &self.shim)
            .field("ports", &self.ports)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}
