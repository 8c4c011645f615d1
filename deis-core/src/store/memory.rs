//! A store in memory: for tests, and for platforms that may forget.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::limits;
use crate::port::{Batch, Expect, Key, Order, Record, Revision, Scan, Store, StoreError, Write};

/// Keeps everything in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Table>);

#[derive(Clone, Debug, Default)]
struct Table {
    revision: u64,
    rows: BTreeMap<Key, (Revision, Bytes)>,
    order: BTreeSet<(Revision, Key)>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another store that holds what this one holds now.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Mutex::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(table.rows.get(key).map(|(revision, data)| record(key, *revision, data)))
    }

    async fn scan(&self, scan: &Scan) -> Result<Vec<Record>, StoreError> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |key: &Key| key.as_str().starts_with(&scan.prefix);
        let found = |(key, (revision, data)): (&Key, &(Revision, Bytes))| record(key, *revision, data);
        let first = Key::new(scan.prefix.clone());
        Ok(match &scan.order {
            Order::KeyAsc { after } => {
                let start = match after {
                    Some(key) if *key >= first => Bound::Excluded(key.clone()),
                    _ => Bound::Included(first),
                };
                let rows = table.rows.range((start, Bound::Unbounded));
                rows.take_while(|(key, _)| wanted(key)).take(scan.limit).map(found).collect()
            }
            Order::KeyDesc { after } => {
                let end = after.clone().map_or(Bound::Unbounded, Bound::Excluded);
                if after.as_ref().is_some_and(|key| *key <= first) {
                    return Ok(Vec::new());
                }
                let rows = table.rows.range((Bound::Included(first), end)).rev();
                rows.filter(|(key, _)| wanted(key)).take(scan.limit).map(found).collect()
            }
            Order::Revision { after } => {
                let start = after.clone().map_or(Bound::Unbounded, Bound::Excluded);
                let pairs = table.order.range((start, Bound::Unbounded)).filter(|(_, key)| wanted(key));
                pairs
                    .take(scan.limit)
                    .filter_map(|(_, key)| table.rows.get_key_value(key).map(found))
                    .collect()
            }
        })
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        limits::check(&batch)?;
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for edit in &batch.edits {
            let present = table.rows.get(&edit.key).map(|(revision, _)| *revision);
            let holds = match edit.expect {
                Expect::Absent => present.is_none(),
                Expect::Present => present.is_some(),
                Expect::At(revision) => present == Some(revision),
            };
            if !holds {
                return Err(StoreError::Conflict { key: edit.key.clone() });
            }
        }
        table.revision += 1;
        let revision = Revision(table.revision);
        for edit in batch.edits {
            if matches!(edit.write, Write::Keep) {
                continue;
            }
            if let Some((old, _)) = table.rows.remove(&edit.key) {
                table.order.remove(&(old, edit.key.clone()));
            }
            if let Write::Put(data) = edit.write {
                table.order.insert((revision, edit.key.clone()));
                table.rows.insert(edit.key, (revision, data));
            }
        }
        Ok(revision)
    }
}

fn record(key: &Key, revision: Revision, data: &Bytes) -> Record {
    Record { key: key.clone(), revision, data: data.clone() }
}
