//! Why a store call failed.

use std::fmt;

use super::Key;
use crate::port::BoxError;

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
    /// The call is larger than a store takes; nothing was applied.
    #[error("{0}")]
    TooLarge(Oversize),
    /// The batch contradicts itself; nothing was applied.
    #[error("a batch names record \"{key}\" twice")]
    InvalidBatch {
        /// The record that is named twice.
        key: Key,
    },
    /// The store has no room left; nothing was applied.
    #[error("the disk of the store is full")]
    Full(#[source] BoxError),
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

/// What is larger than a store takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oversize {
    /// A batch.
    Batch {
        /// Number of its edits.
        edits: usize,
        /// Bytes of its values.
        bytes: usize,
    },
    /// The reads of one call.
    Reads {
        /// Scans and counts.
        scans: usize,
        /// Single records.
        gets: usize,
    },
    /// The answer of one call.
    Answer {
        /// Most bytes that an answer may have.
        most: usize,
    },
}

impl fmt::Display for Oversize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch { edits, bytes } => {
                write!(f, "a batch of {edits} edits and {bytes} bytes is too large")
            }
            Self::Reads { scans, gets } => {
                write!(f, "{scans} scans and {gets} gets are too many for one call")
            }
            Self::Answer { most } => write!(f, "an answer of more than {most} bytes is too large"),
        }
    }
}
