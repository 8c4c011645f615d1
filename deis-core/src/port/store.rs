//! Where the platform keeps its state: an ordered map of bytes, read from one moment and changed in atomic,
//! conditional batches.

mod batch;
mod error;
mod key;
mod read;

use std::fmt;

use async_trait::async_trait;

pub use batch::{Batch, Edit, Expect, MAX_BATCH_BYTES, MAX_EDITS, Write};
pub use error::{Oversize, StoreError};
pub use key::{Key, Record, Revision};
pub use read::{AnswerSize, Found, MAX_ANSWER_BYTES, MAX_GETS, MAX_SCANS, Order, Read, Reading, Scan};

/// An ordered key–value store with one revision number for all of it.
///
/// # Contract
/// * Keys compare as bytes.
/// * Revisions rise in commit order: who saw `n + 1` never meets an `n` that becomes visible later. All
///   records that a batch puts carry that batch's revision.
/// * What `commit` acknowledged survives a killed process and, for a durable store, a power cut.
///
/// # Implementing
/// Run the suite [`conformance::store`](https://docs.rs/deis-core) (feature `conformance`) over it. This one forgets
/// everything and knows one order; see `MemoryStore` for the others, and `examples/redb_store.rs` in the repository for a
/// durable one on another database, with the suite over it:
///
/// ```
/// use std::{collections::BTreeMap, sync::Mutex};
/// use deis_core::port::{AnswerSize, Batch, Found, Key, Read, Reading, Record, Revision, Store, StoreError, Write};
///
/// #[derive(Debug, Default)]
/// struct Tiny(Mutex<(u64, BTreeMap<Key, Record>)>);
///
/// #[async_trait::async_trait]
/// impl Store for Tiny {
///     async fn read(&self, reads: &[Read]) -> Result<Reading, StoreError> {
///         Read::check(reads)?;
///         let state = self.0.lock().map_err(|_| StoreError::Unavailable("a writer panicked".into()))?;
///         let mut size = AnswerSize::default();
///         let found = reads.iter().map(|read| {
///             let below = |prefix: &String| {
///                 let prefix = prefix.clone();
///                 state.1.values().filter(move |record| record.key.as_str().starts_with(&prefix))
///             };
///             let records: Vec<Record> = match read {
///                 Read::Get(key) => state.1.get(key).cloned().into_iter().collect(),
///                 Read::Scan(s) => below(&s.prefix).skip(s.skip).take(s.limit).cloned().collect(),
///                 Read::Count { prefix } => return Ok(Found::Count(below(prefix).count() as u64)),
///             };
///             records.iter().try_for_each(|record| size.add(record))?;
///             Ok(Found::Records(records))
///         });
///         Ok(Reading { at: Revision(state.0), found: found.collect::<Result<_, StoreError>>()? })
///     }
///
///     async fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
///         batch.check()?;
///         let mut state = self.0.lock().map_err(|_| StoreError::Unavailable("a writer panicked".into()))?;
///         for edit in &batch.edits {
///             if !edit.expect.holds(state.1.get(&edit.key).map(|record| record.revision)) {
///                 return Err(StoreError::Conflict { key: edit.key.clone() });
///             }
///         }
///         state.0 += 1;
///         let revision = Revision(state.0);
///         for edit in batch.edits {
///             match edit.write {
///                 Write::Keep => {}
///                 Write::Put(data) => drop(state.1.insert(edit.key.clone(), Record { key: edit.key, revision, data })),
///                 Write::Delete => drop(state.1.remove(&edit.key)),
///             }
///         }
///         Ok(revision)
///     }
/// }
/// ```
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Answers all reads, in their order, from one moment, which includes every batch acknowledged before the call.
    /// The same read may stand in it several times. Dropping the future has no effect.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] above [`MAX_SCANS`], [`MAX_GETS`] or [`MAX_ANSWER_BYTES`];
    /// [`StoreError::Unavailable`] if the store cannot be reached.
    async fn read(&self, reads: &[Read]) -> Result<Reading, StoreError>;

    /// Applies all edits, or none. Not idempotent by itself: since edits carry expectations, repeating a
    /// batch either applies it once or conflicts.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::TooLarge`], [`StoreError::InvalidBatch`] and [`StoreError::Full`] say
    /// that nothing was applied. [`StoreError::Unavailable`], and dropping the future, leave unknown whether it was: read again
    /// before repeating.
    async fn commit(&self, batch: Batch) -> Result<Revision, StoreError>;
}

/// Reads of one thing each; every [`Store`] has them.
#[async_trait]
pub trait StoreExt: Store {
    /// The record under `key`, if there is one.
    ///
    /// # Errors
    /// Those of [`Store::read`].
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let reading = self.read(&[Read::Get(key.clone())]).await?;
        match reading.found.into_iter().next() {
            Some(Found::Records(records)) => Ok(records.into_iter().next()),
            _ => Err(unanswered()),
        }
    }

    /// The records that `scan` selects.
    ///
    /// # Errors
    /// Those of [`Store::read`].
    async fn scan(&self, scan: &Scan) -> Result<Vec<Record>, StoreError> {
        let reading = self.read(&[Read::Scan(scan.clone())]).await?;
        match reading.found.into_iter().next() {
            Some(Found::Records(records)) => Ok(records),
            _ => Err(unanswered()),
        }
    }

    /// How many records start with `prefix`.
    ///
    /// # Errors
    /// Those of [`Store::read`].
    async fn count(&self, prefix: &str) -> Result<u64, StoreError> {
        let reading = self.read(&[Read::count(prefix)]).await?;
        match reading.found.into_iter().next() {
            Some(Found::Count(count)) => Ok(count),
            _ => Err(unanswered()),
        }
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

/// A back end that answers something else than it was asked.
fn unanswered() -> StoreError {
    StoreError::Unavailable("the store left a read unanswered".into())
}
