//! The run folder: what instances, tasks and the lines of apps are on disk.
//!
//! [`format`] says which files there are and who writes them. A supervising process, the back ends of the platform and
//! the log store meet nowhere else.

pub(crate) mod cleanup;
pub(crate) mod format;
pub(crate) mod last_lines;
pub(crate) mod line_log;
pub(crate) mod lock;
pub(crate) mod record;
pub(crate) mod socket;
pub(crate) mod task_output;
pub(crate) mod wire;
