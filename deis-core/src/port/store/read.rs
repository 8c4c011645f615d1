//! What is read: any number of records, ranges and counts, from one moment.

use super::{Key, Oversize, Record, Revision, StoreError};

/// Most scans and counts of one call.
pub const MAX_SCANS: usize = 256;
/// Most single records that one call asks for.
pub const MAX_GETS: usize = 10_000;
/// Most bytes, keys included, of one answer.
pub const MAX_ANSWER_BYTES: usize = 64 << 20;

/// One thing that a call reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The record under a key; answered by none or one.
    Get(Key),
    /// A range of records.
    Scan(Scan),
    /// How many records there are.
    Count {
        /// Only keys that start with this.
        prefix: String,
    },
}

impl Read {
    /// How many records start with `prefix`.
    pub fn count(prefix: impl Into<String>) -> Self {
        Self::Count { prefix: prefix.into() }
    }

    /// What every store checks before it reads.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] above [`MAX_SCANS`] scans and counts, or [`MAX_GETS`] single records.
    pub fn check(reads: &[Self]) -> Result<(), StoreError> {
        let gets = reads.iter().filter(|read| matches!(read, Self::Get(_))).count();
        let scans = reads.len() - gets;
        if scans > MAX_SCANS || gets > MAX_GETS {
            return Err(StoreError::TooLarge(Oversize::Reads { scans, gets }));
        }
        Ok(())
    }
}

/// Which range of records to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Only keys that start with this.
    pub prefix: String,
    /// In which order, and after what.
    pub order: Order,
    /// So many of them are left out first.
    pub skip: usize,
    /// At most so many.
    pub limit: usize,
    /// Whether the records come without their data.
    pub keys_only: bool,
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

impl Order {
    /// Keys downwards, from the last one.
    pub const NEWEST_FIRST: Self = Self::KeyDesc { after: None };
}

impl Scan {
    /// All records below `prefix`, keys upwards.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            order: Order::KeyAsc { after: None },
            skip: 0,
            limit: usize::MAX,
            keys_only: false,
        }
    }

    /// In this order.
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Without the first so many.
    #[must_use]
    pub fn skip(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }

    /// At most so many.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Without the records' data.
    #[must_use]
    pub fn keys_only(mut self) -> Self {
        self.keys_only = true;
        self
    }
}

impl From<Scan> for Read {
    fn from(scan: Scan) -> Self {
        Self::Scan(scan)
    }
}

/// The answer to a call: all of it from one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The newest batch that the answer includes; a follower of revisions goes on after it without a gap.
    pub at: Revision,
    /// One answer for each read, in their order.
    pub found: Vec<Found>,
}

/// The answer to one read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Records, of a [`Read::Get`] or [`Read::Scan`].
    Records(Vec<Record>),
    /// The answer to a [`Read::Count`].
    Count(u64),
}

/// Adds up the size of an answer while a store collects it, so that it stops before memory is used up.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerSize(usize);

impl AnswerSize {
    /// Counts a record in.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] once the answer has more than [`MAX_ANSWER_BYTES`].
    pub fn add(&mut self, record: &Record) -> Result<(), StoreError> {
        self.0 += record.key.as_str().len() + record.data.len();
        if self.0 > MAX_ANSWER_BYTES {
            return Err(StoreError::TooLarge(Oversize::Answer { most: MAX_ANSWER_BYTES }));
        }
        Ok(())
    }
}
