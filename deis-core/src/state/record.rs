//! Typed records over the store, and batches built edit by edit.

use super::envelope::{self, EnvelopeError, StoredKind};
use crate::port::{
    Batch, Edit, Expect, Key, Record, Revision, Scan, Store, StoreError, StoreExt as _, Write,
};

/// A record and the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// The value.
    pub value: T,
    /// The batch that wrote it.
    pub revision: Revision,
}

/// Decodes a record.
///
/// # Errors
/// [`StoreError::Corrupt`] if the record is of another kind, of a version that is not known, or damaged.
pub fn decode<T: StoredKind>(record: &Record) -> Result<Stored<T>, StoreError> {
    let corrupt =
        |source: EnvelopeError| StoreError::Corrupt { key: record.key.clone(), source: Box::new(source) };
    Ok(Stored { value: envelope::open(&record.data).map_err(corrupt)?, revision: record.revision })
}

/// Encodes a value.
fn encode<T: StoredKind>(key: &Key, value: &T) -> Result<bytes::Bytes, StoreError> {
    let failed = |source: EnvelopeError| StoreError::Corrupt { key: key.clone(), source: Box::new(source) };
    envelope::seal(value).map(Into::into).map_err(failed)
}

/// Reads one record.
///
/// # Errors
/// [`StoreError`], if the store cannot be reached or the record cannot be read.
pub async fn get<T: StoredKind>(store: &dyn Store, key: &Key) -> Result<Option<Stored<T>>, StoreError> {
    store.get(key).await?.as_ref().map(decode).transpose()
}

/// Reads records with their keys.
///
/// # Errors
/// [`StoreError`], if the store cannot be reached or a record cannot be read.
pub async fn scan<T: StoredKind>(
    store: &dyn Store,
    scan: &Scan,
) -> Result<Vec<(Key, Stored<T>)>, StoreError> {
    let records = store.scan(scan).await?;
    records.iter().map(|r| Ok((r.key.clone(), decode(r)?))).collect()
}

/// Edits that are collected before they are committed together. An encoding error shows at the commit.
#[derive(Debug, Default)]
pub struct Edits {
    batch: Batch,
    failed: Option<StoreError>,
    /// A record that only this batch can have written.
    witness: Option<Key>,
}

impl Edits {
    /// No edits yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a record that must not exist.
    pub fn create<T: StoredKind>(&mut self, key: Key, value: &T) {
        self.put(key, Expect::Absent, value);
    }

    /// Writes a record under a key that nobody else will ever choose: where it is, this batch was applied.
    pub fn create_unique<T: StoredKind>(&mut self, key: Key, value: &T) {
        self.witness.get_or_insert_with(|| key.clone());
        self.create(key, value);
    }

    /// Writes a record over the revision that was read.
    pub fn replace<T: StoredKind>(&mut self, key: Key, revision: Revision, value: &T) {
        self.put(key, Expect::At(revision), value);
    }

    /// Writes a record over what was read, or anew.
    pub fn upsert<T: StoredKind>(&mut self, key: Key, read: Option<Revision>, value: &T) {
        self.put(key, read.map_or(Expect::Absent, Expect::At), value);
    }

    /// Removes a record that was read.
    pub fn delete(&mut self, key: Key, revision: Revision) {
        self.push(key, Expect::At(revision), Write::Delete);
    }

    /// Removes a record that exists.
    pub fn delete_present(&mut self, key: Key) {
        self.push(key, Expect::Present, Write::Delete);
    }

    /// Demands that a record is as it was read.
    pub fn guard(&mut self, key: Key, revision: Revision) {
        self.push(key, Expect::At(revision), Write::Keep);
    }

    /// Demands that a record does not exist.
    pub fn guard_absent(&mut self, key: Key) {
        self.push(key, Expect::Absent, Write::Keep);
    }

    /// Number of edits so far.
    pub fn len(&self) -> usize {
        self.batch.edits.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.batch.edits.is_empty()
    }

    /// Commits them all, or none. When the answer is lost, a unique record of the batch tells what became of it;
    /// [`StoreError::Unavailable`] is left where it cannot be read, is not there, or was not among the edits.
    ///
    /// # Errors
    /// Those of [`Store::commit`], and [`StoreError::Corrupt`] for a value that cannot be encoded.
    pub async fn commit(self, store: &dyn Store) -> Result<Revision, StoreError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let lost = match store.commit(self.batch).await {
            Err(StoreError::Unavailable(lost)) => lost,
            answer => return answer,
        };
        if let Some(key) = self.witness
            && let Ok(Some(record)) = store.get(&key).await
        {
            return Ok(record.revision);
        }
        Err(StoreError::Unavailable(lost))
    }

    fn put<T: StoredKind>(&mut self, key: Key, expect: Expect, value: &T) {
        match encode(&key, value) {
            Ok(data) => self.push(key, expect, Write::Put(data)),
            Err(error) => self.failed = Some(error),
        }
    }

    fn push(&mut self, key: Key, expect: Expect, write: Write) {
        self.batch.edits.push(Edit { key, expect, write });
    }
}
