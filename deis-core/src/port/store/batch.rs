//! What is written: edits that apply together.

use std::collections::HashSet;

use bytes::Bytes;

use super::{Key, Oversize, Revision, StoreError};

/// Most edits of a batch.
pub const MAX_EDITS: usize = 4_000;
/// Most bytes of a batch's values.
pub const MAX_BATCH_BYTES: usize = 32 << 20;

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

impl Expect {
    /// Whether it holds of a record with this revision, or of none.
    pub fn holds(self, present: Option<Revision>) -> bool {
        match self {
            Self::Absent => present.is_none(),
            Self::Present => present.is_some(),
            Self::At(revision) => present == Some(revision),
        }
    }
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

impl Batch {
    /// Bytes of all values that it puts.
    pub fn bytes(&self) -> usize {
        let size = |write: &Write| if let Write::Put(data) = write { data.len() } else { 0 };
        self.edits.iter().map(|edit| size(&edit.write)).sum()
    }

    /// What every store checks before it applies a batch.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] above [`MAX_EDITS`] or [`MAX_BATCH_BYTES`], [`StoreError::InvalidBatch`] if a key
    /// stands in it twice: which of the two edits would hold?
    pub fn check(&self) -> Result<(), StoreError> {
        let (edits, bytes) = (self.edits.len(), self.bytes());
        if edits > MAX_EDITS || bytes > MAX_BATCH_BYTES {
            return Err(StoreError::TooLarge(Oversize::Batch { edits, bytes }));
        }
        let mut seen = HashSet::with_capacity(edits);
        match self.edits.iter().find(|edit| !seen.insert(&edit.key)) {
            Some(twice) => Err(StoreError::InvalidBatch { key: twice.key.clone() }),
            None => Ok(()),
        }
    }
}
