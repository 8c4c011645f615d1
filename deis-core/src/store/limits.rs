//! How large a batch may be, alike in every store.

use std::collections::HashSet;

use crate::port::{Batch, StoreError, Write};

/// Most edits of a batch.
pub const MOST_EDITS: usize = 4_000;
/// Most bytes of a batch's values.
pub const MOST_BYTES: usize = 32 << 20;

/// Bytes of a batch's values.
pub(super) fn bytes(batch: &Batch) -> usize {
    let size = |write: &Write| if let Write::Put(data) = write { data.len() } else { 0 };
    batch.edits.iter().map(|edit| size(&edit.write)).sum()
}

/// Refuses a batch that is too large or names a key twice.
pub(super) fn check(batch: &Batch) -> Result<(), StoreError> {
    let bytes = bytes(batch);
    if batch.edits.len() > MOST_EDITS || bytes > MOST_BYTES {
        return Err(StoreError::TooLarge { edits: batch.edits.len(), bytes });
    }
    let mut seen = HashSet::new();
    match batch.edits.iter().find(|edit| !seen.insert(&edit.key)) {
        Some(twice) => {
            Err(StoreError::Corrupt { key: twice.key.clone(), source: "the batch names it twice".into() })
        }
        None => Ok(()),
    }
}
