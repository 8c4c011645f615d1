//! The numbers that the engine lives by, all in one place.

use std::time::Duration;

/// Active time that a rollout may take from Rolling on.
pub const DEPLOY_DEADLINE: Duration = Duration::from_secs(120);
/// Active time that a fallback may take to settle.
pub const REVERT_DEADLINE: Duration = Duration::from_secs(120);
/// How long the clock of a rollout stands still, in all, while the cluster does not move after an outage.
pub const OUTAGE_LIMIT: Duration = Duration::from_secs(120);
/// How long the clock of a rollout stands still, in all, while an image is fetched.
pub const PULL_LIMIT: Duration = Duration::from_secs(600);
/// Active time in which another process that has recorded the start of a release command may really start it.
pub const START_GRACE: Duration = Duration::from_secs(5);
/// Active time that an artifact may take to be ready.
pub const PREPARE_LIMIT: Duration = Duration::from_secs(600);
/// How long a rollout that is under way waits for a lease of its artifact, which the process before held.
pub const LEASE_LIMIT: Duration = Duration::from_secs(5);
/// Pause before such a lease is asked for once more.
pub const LEASE_PAUSE: Duration = Duration::from_secs(30);
/// Time that a process may take to listen.
pub const START_BUDGET: Duration = Duration::from_secs(60);
/// A process that listens elsewhere for so long is not listening.
pub const NOT_LISTENING_AFTER: Duration = Duration::from_secs(10);
/// So many losses of readiness …
pub const READINESS_LOSSES: usize = 3;
/// … within so long, before an instance was ever available, say that its version does not work.
pub const READINESS_WINDOW: Duration = Duration::from_secs(60);
/// So does a readiness that is lost before an instance was ever available, and that does not come back for so long.
pub const READINESS_REGAIN: Duration = Duration::from_secs(10);
/// So many ends …
pub const CRASH_LOOP_EXITS: usize = 3;
/// … within so long are a crash loop.
pub const CRASH_LOOP_WINDOW: Duration = Duration::from_secs(60);
/// First wait before a process is started again; doubles each time.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Longest wait before a process is started again.
pub const BACKOFF_MOST: Duration = Duration::from_secs(60);
/// Longest run of a release command.
pub const RELEASE_COMMAND_LIMIT: Duration = Duration::from_secs(3600);
/// Longest wait for requests in flight before a process is stopped all the same.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// Seconds between SIGTERM and SIGKILL.
pub const GRACE_SECONDS: u32 = 30;
/// Config value that sets the minimum ready time of an app, in seconds.
pub const MIN_READY_KEY: &str = "DEIS_MIN_READY_SECONDS";
/// Seconds for which a new instance must be ready before an old one leaves.
pub const MIN_READY_SECONDS: u32 = 1;
/// Longest minimum ready time, in seconds.
pub const MAX_MIN_READY_SECONDS: u32 = 60;
/// How long an unused connection to an app is kept.
pub const IDLE_UPSTREAM: Duration = Duration::from_millis(1500);
/// How often spent time is saved while a rollout waits.
pub const SAVE_SPENT: Duration = Duration::from_secs(10);
/// Time that fetching what a task needs may take.
pub const TASK_START_LIMIT: Duration = Duration::from_secs(600);
/// Most commands of one app that run at once.
pub const MAX_RUNS: usize = 32;
/// Between SIGHUP and SIGKILL when the writer of a bound task has gone.
pub const HANG_UP_GRACE: Duration = Duration::from_secs(5);
/// `PORT` of a one-off command whose config has none.
pub const TASK_PORT: u16 = 5000;
/// Most bytes of a variable's name and value together: what Linux takes, less `=` and the NUL byte.
pub const MAX_ENV_VARIABLE: usize = 131_070;
/// Most bytes of all variables of a config together; a quarter of the stack's 8 MiB is what Linux gives arguments and
/// environment, and a back end adds to both.
pub const MAX_ENV: usize = 768 << 10;
/// Most variables of a config.
pub const MAX_ENV_ENTRIES: usize = 1000;
/// Most entries of each other member of a config.
pub const MAX_CONFIG_ENTRIES: usize = 100;
/// Most bytes of a config.
pub const MAX_CONFIG: usize = 1 << 20;
/// Most bytes of a lifecycle hook.
pub const MAX_HOOK: usize = 16 << 10;
/// Most bytes of a registry's user name, password or host.
pub const MAX_REGISTRY_VALUE: usize = 16 << 10;
/// Most bytes of the command of a probe.
pub const MAX_PROBE_COMMAND: usize = 16 << 10;
/// Most bytes of a probe's path, and of a header's value.
pub const MAX_PROBE_TEXT: usize = 2048;
/// Most headers of a probe.
pub const MAX_PROBE_HEADERS: usize = 20;
/// Largest time (in seconds) and count of a probe.
pub const MAX_PROBE_NUMBER: u32 = 86_400;
/// Longest grace period, in seconds.
pub const MAX_GRACE_SECONDS: u32 = 3600;
/// Largest number in a variable that the platform reads.
pub const MAX_TUNABLE: u32 = 86_400;
/// Smallest memory limit, in bytes.
pub const MIN_MEMORY_LIMIT: u64 = 4 << 20;
/// Most bytes of the names that a release's summary lists for each kind of change.
pub const MAX_SUMMARY_NAMES: usize = 2000;
/// Most apps of a user who is no administrator, unless the options say otherwise.
pub const MAX_USER_APPS: usize = 1_000;
/// Most domains of an app.
pub const MAX_DOMAINS: usize = 500;
/// Most SSH keys of a user.
pub const MAX_KEYS: usize = 100;
/// Most instances of one process type, and of an app.
pub const MAX_SCALE: u32 = 10_000;
