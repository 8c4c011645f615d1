//! Who keeps the log lines of apps.

use std::fmt;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::BoxError;
use crate::model::{AppRef, LogLine, LogQuery};

/// A stream of log lines, oldest first.
pub type LogStream = BoxStream<'static, Result<LogLine, LogError>>;

/// So many of the newest lines of an app are searched for the id of a new one.
pub const IDS_KEPT: usize = 1000;

/// Keeps a bounded number of lines per app.
///
/// # Contract
/// * A reader that stalls never holds up a writer: it misses lines instead.
/// * A line with an id that one of the app's newest [`IDS_KEPT`] lines has is dropped.
///
/// # Implementing
/// Run `conformance::logs` over it.
#[async_trait]
pub trait LogStore: fmt::Debug + Send + Sync + 'static {
    /// Adds lines. A caller that repeats it repeats those without an id, and no others.
    ///
    /// # Errors
    ///
    /// [`LogError::Unavailable`]: some of the lines may have been added.
    async fn append(&self, app: &AppRef, lines: Vec<LogLine>) -> Result<(), LogError>;

    /// The newest lines that `query` selects, oldest first, and with `follow` all later ones until the stream
    /// is dropped or the app is forgotten. An app without lines gives an empty stream.
    async fn tail(&self, app: &AppRef, query: &LogQuery) -> Result<LogStream, LogError>;

    /// Removes all lines of this life of the app. Unknown app: `Ok`.
    async fn forget(&self, app: &AppRef) -> Result<(), LogError>;
}

/// Why a log store call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// It cannot be read or written.
    #[error("the log store is not available")]
    Unavailable(#[source] BoxError),
}
