//! Where the platform keeps its state: an ordered map of bytes with atomic, conditional batches.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use super::BoxError;

/// An ordered key–value store with one revision number for all of it.
///
/// # Contract
/// * Keys compare as bytes.
/// * Revisions rise in commit order: who saw `n + 1` never meets an `n` that becomes visible later. All
///   records that a batch puts carry that batch's revision.
/// * What `commit` acknowledged survives a killed process and, for a durable store, a power cut.
///
/// # Implementing
/// Run `conformance::store` over it.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The record under `key`, if there is one. Sees every batch acknowledged before the call.
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError>;

    /// The records that `scan` selects, from one moment. Dropping the future has no effect.
    async fn scan(&self, scan: &Scan) -> Result<Vec<Record>, StoreError>;

    /// Applies all edits, or none. Not idempotent by itself: since edits carry expectations, repeating a
    /// batch either applies it once or conflicts. [`StoreError::Unavailable`], and dropping the future, leave
    /// unknown whether it was applied: read again before repeating.
    async fn commit(&self, batch: Batch) -> Result<Revision, StoreError>;
}

/// Key of a record: slash-separated segments, compared as bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Wraps a key.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Number of a committed batch; 0 comes before the first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: Key,
    /// The batch that wrote it last.
    pub revision: Revision,
    /// Its bytes.
    pub data: Bytes,
}

/// Which records to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Only keys that start with this.
    pub prefix: String,
    /// In which order.
    pub order: Order,
    /// At most so many.
    pub limit: usize,
}

/// Order of a scan, and where it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Keys upwards, after this one.
    KeyAsc {
        /// The last key seen.
        after: Option<Key>,
    },
    /// Keys downwards, below this one.
    KeyDesc {
        /// The last key seen.
        after: Option<Key>,
    },
    /// By (revision, key) upwards, after this pair.
    Revision {
        /// The last revision seen and the last key seen of it.
        after: Option<(Revision, Key)>,
    },
}

impl Scan {
    /// All records below `prefix`, keys upwards.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), order: Order::KeyAsc { after: None }, limit: usize::MAX }
    }

    /// At most so many.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// In this order.
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }
}

/// Edits that apply together. A batch names each key at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The edits.
    pub edits: Vec<Edit>,
}

/// One edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Of which record.
    pub key: Key,
    /// What must hold for the batch to apply.
    pub expect: Expect,
    /// What is done.
    pub write: Write,
}

/// What must hold of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It does not exist.
    Absent,
    /// It exists.
    Present,
    /// It exists and this batch wrote it last.
    At(Revision),
}

/// What is done to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing: a guard on something that was only read. The record keeps its revision.
    Keep,
    /// It gets these bytes.
    Put(Bytes),
    /// It goes.
    Delete,
}

/// Why a store call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// An expectation did not hold; nothing was applied.
    #[error("record \"{key}\" is not as expected")]
    Conflict {
        /// The first record that was not as expected.
        key: Key,
    },
    /// The batch is larger than the store takes; nothing was applied.
    #[error("a batch of {edits} edits and {bytes} bytes is too large")]
    TooLarge {
        /// Number of its edits.
        edits: usize,
        /// Bytes of its values.
        bytes: usize,
    },
    /// The store cannot be reached or failed; after a commit the outcome is unknown.
    #[error("the store is not available")]
    Unavailable(#[source] BoxError),
    /// A record cannot be read.
    #[error("record \"{key}\" is damaged")]
    Corrupt {
        /// Which.
        key: Key,
        /// What is wrong with it.
        #[source]
        source: BoxError,
    },
}
