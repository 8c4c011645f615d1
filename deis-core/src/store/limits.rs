//! How large a batch may be, alike in every store.

use std::collections::HashSet;

use crate::port::{Batch, StoreError, Write};

/// Most edits of a batch.
pub const MOST_EDITS: usize = 4_000;
/// Most bytes of a batch's values.
pub const MOST_BYTES: usize = 32 << 20;

/// Refuses a batch that is too large or names a key twice.
pub(super) fn check(batch: &Batch) -> Result<(), StoreError> {
    let size = |write: &Write| if let Write::Put(data) = write { data.len() } else { 0 };
    let bytes = batch.edits.iter().map(|edit| size(&edit.write)).sum();
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
