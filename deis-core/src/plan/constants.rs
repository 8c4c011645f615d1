//! The numbers that the engine lives by, all in one place.

use std::time::Duration;

/// Active time that a rollout may take from Rolling on.
pub const DEPLOY_DEADLINE: Duration = Duration::from_secs(120);
/// Active time that a fallback may take to settle.
pub const REVERT_DEADLINE: Duration = Duration::from_secs(120);
/// Active time in which another process that has recorded the start of a release command may really start it.
pub const START_GRACE: Duration = Duration::from_secs(5);
/// Active time that an artifact may take to be ready.
pub const PREPARE_LIMIT: Duration = Duration::from_secs(600);
/// Time that a process may take to listen.
pub const START_BUDGET: Duration = Duration::from_secs(60);
/// A process that listens elsewhere for so long is not listening.
pub const NOT_LISTENING_AFTER: Duration = Duration::from_secs(10);
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
/// How long an unused connection to an app is kept.
pub const IDLE_UPSTREAM: Duration = Duration::from_millis(1500);
/// How often spent time is saved while a rollout waits.
pub const SAVE_SPENT: Duration = Duration::from_secs(10);
/// `PORT` of a one-off command whose config has none.
pub const TASK_PORT: u16 = 5000;
/// Longest value of an environment variable: what `exec` takes.
pub const MOST_ENV_VALUE: usize = 128 * 1024 - 1;
/// Most bytes of an app's whole environment.
pub const MOST_ENV: usize = 1024 * 1024;
/// Most instances of one process type.
pub const MOST_SCALE: u32 = 10_000;
