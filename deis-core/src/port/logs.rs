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
/// Run `conformance::logs` over it. This one keeps 100 lines an app:
///
/// ```
/// use std::{collections::BTreeMap, sync::{Arc, Mutex, MutexGuard, PoisonError}};
/// use deis_core::{
///     model::{AppRef, AppUid, LogLine, LogQuery, LogSource},
///     port::{IDS_KEPT, LogError, LogStore, LogStream},
/// };
/// use futures_util::{StreamExt as _, stream};
/// use tokio::sync::watch;
///
/// #[derive(Debug, Default)]
/// struct Notes(Mutex<BTreeMap<AppUid, watch::Sender<(u64, Vec<LogLine>)>>>);
///
/// impl Notes {
///     /// All lines ever, and the newest of them.
///     fn of(&self, app: &AppRef) -> watch::Sender<(u64, Vec<LogLine>)> {
///         self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(app.uid).or_default().clone()
///     }
/// }
///
/// #[async_trait::async_trait]
/// impl LogStore for Notes {
///     async fn append(&self, app: &AppRef, lines: Vec<LogLine>) -> Result<(), LogError> {
///         self.of(app).send_modify(|(count, kept)| {
///             for line in lines {
///                 if line.id.is_some() && kept.iter().rev().take(IDS_KEPT).any(|known| known.id == line.id) {
///                     continue; // It was written before a process was killed.
///                 }
///                 kept.push(line);
///                 *count += 1;
///                 kept.drain(..kept.len().saturating_sub(100));
///             }
///         });
///         Ok(())
///     }
///
///     async fn tail(&self, app: &AppRef, query: &LogQuery) -> Result<LogStream, LogError> {
///         let mut reader = self.of(app).subscribe();
///         let (seen, mut newest) = reader.borrow_and_update().clone();
///         let process = query.process.clone();
///         let wanted = move |line: &LogLine| match (&process, &line.source) {
///             (Some(wanted), LogSource::Process { process, .. }) => wanted == process,
///             (wanted, _) => wanted.is_none(),
///         };
///         newest.retain(&wanted);
///         newest.drain(..newest.len().saturating_sub(query.lines));
///         let newest = stream::iter(newest.into_iter().map(Ok));
///         if !query.follow {
///             return Ok(newest.boxed());
///         }
///         let later = stream::unfold((reader, seen), move |(mut reader, seen)| {
///             let wanted = wanted.clone();
///             async move {
///                 // The sender goes when the app is forgotten. Whoever is too slow misses lines and holds up nobody.
///                 reader.changed().await.ok()?;
///                 let (count, kept) = reader.borrow_and_update().clone();
///                 let fresh = usize::try_from(count - seen).unwrap_or(usize::MAX).min(kept.len());
///                 let lines: Vec<_> = kept[kept.len() - fresh..].iter().filter(|l| wanted(l)).cloned().map(Ok).collect();
///                 Some((stream::iter(lines), (reader, count)))
///             }
///         });
///         Ok(newest.chain(later.flatten()).boxed())
///     }
///
///     async fn forget(&self, app: &AppRef) -> Result<(), LogError> {
///         self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&app.uid);
///         Ok(())
///     }
/// }
/// ```
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
    ///
    /// # Errors
    /// [`LogError::Unavailable`]; an item of the stream is that, too, and the last one then.
    async fn tail(&self, app: &AppRef, query: &LogQuery) -> Result<LogStream, LogError>;

    /// Removes all lines of this life of the app. Unknown app: `Ok`.
    ///
    /// # Errors
    /// [`LogError::Unavailable`]: some of the lines may be left.
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
