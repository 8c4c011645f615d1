//! The traits that an embedder can implement: where state lives, where processes run, who routes, who keeps logs.
//!
//! Each has at least two implementations here and a suite in `conformance` that proves a further one right.

mod artifact;
mod lines;
mod logs;
mod output;
mod router;
mod runner;
mod runner_ext;
mod scheduler;
mod store;
mod wake;

pub use artifact::{ArtifactError, Prepared, Preparer, always_prepared};
#[cfg(feature = "local")]
pub(crate) use lines::truncate;
pub use lines::{LINE_SILENCE, LineSplitter, MAX_LINE, line_text};
pub use logs::{IDS_KEPT, LogError, LogStore, LogStream};
pub use output::{
    Cursor, HOLD_LIMIT, MAX_CHUNK, MAX_TASK_OUTPUT, OutputChunk, OutputItem, OutputStream, Positioned,
};
pub use router::{Router, RouterError};
pub use runner::{Attached, OutputItems, StopScope, TaskError, TaskRunner, TaskWriter, check_write};
pub use runner_ext::TaskRunnerExt;
pub use scheduler::{Scheduler, SchedulerError};
pub use store::{
    AnswerSize, Batch, Edit, Expect, Found, Key, MAX_ANSWER_BYTES, MAX_BATCH_BYTES, MAX_EDITS, MAX_GETS,
    MAX_SCANS, Order, Oversize, Read, Reading, Record, Revision, Scan, Store, StoreError, StoreExt, Write,
};
pub use wake::Wake;

/// An error with its causes, outermost first, in one line.
///
/// A message speaks for its own layer only, so whoever shows an error to a person shows all of them.
///
/// ```
/// use deis_core::port::{StoreError, error_chain};
///
/// let error = StoreError::Unavailable("the network is down".into());
/// assert_eq!(error_chain(&error), "the store is not available: the network is down");
/// ```
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    error_causes(error).fold(error.to_string(), |chain, cause| format!("{chain}: {cause}"))
}

/// The causes of an error, outermost first, without the error itself.
pub fn error_causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| cause.source())
}

/// A cause of any type, for `#[source]`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
