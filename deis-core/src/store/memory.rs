//! A store in memory: for tests, and for platforms that may forget.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::port::{
    AnswerSize, Batch, Found, Key, Order, Read, Reading, Record, Revision, Scan, Store, StoreError, Write,
};

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
        Self(Mutex::new(self.lock().clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn read(&self, reads: &[Read]) -> Result<Reading, StoreError> {
        Read::check(reads)?;
        let table = self.lock();
        let mut size = AnswerSize::default();
        let mut found = Vec::with_capacity(reads.len());
        for read in reads {
            found.push(match read {
                Read::Get(key) => {
                    let row = table.rows.get_key_value(key).into_iter();
                    Found::Records(collect(row, false, &mut size)?)
                }
                Read::Scan(scan) => Found::Records(table.scan(scan, &mut size)?),
                Read::Count { prefix } => {
                    Found::Count(u64::try_from(table.below(prefix).count()).unwrap_or(u64::MAX))
                }
            });
        }
        Ok(Reading { at: Revision(table.revision), found })
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        batch.check()?;
        let mut table = self.lock();
        for edit in &batch.edits {
            if !edit.expect.holds(table.rows.get(&edit.key).map(|(revision, _)| *revision)) {
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

type Row<'a> = (&'a Key, &'a (Revision, Bytes));

impl Table {
    /// All rows below a prefix.
    fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = Row<'a>> {
        let rows = self.rows.range(Key::new(prefix)..);
        rows.take_while(move |(key, _)| key.as_str().starts_with(prefix))
    }

    fn scan(&self, scan: &Scan, size: &mut AnswerSize) -> Result<Vec<Record>, StoreError> {
        let Scan { prefix, order, skip, limit, keys_only } = scan;
        let wanted = |key: &Key| key.as_str().starts_with(prefix);
        let first = Key::new(prefix.clone());
        match order {
            Order::KeyAsc { after } => {
                let start = match after {
                    Some(key) if *key >= first => Bound::Excluded(key.clone()),
                    _ => Bound::Included(first),
                };
                let rows = self.rows.range((start, Bound::Unbounded)).take_while(|(key, _)| wanted(key));
                collect(rows.skip(*skip).take(*limit), *keys_only, size)
            }
            Order::KeyDesc { after } => {
                if after.as_ref().is_some_and(|key| *key <= first) {
                    return Ok(Vec::new());
                }
                let end = after.clone().map_or(Bound::Unbounded, Bound::Excluded);
                let rows = self.rows.range((Bound::Included(first), end)).rev();
                collect(rows.filter(|(key, _)| wanted(key)).skip(*skip).take(*limit), *keys_only, size)
            }
            Order::Revision { after } => {
                let start = after.clone().map_or(Bound::Unbounded, Bound::Excluded);
                let pairs = self.order.range((start, Bound::Unbounded)).filter(|(_, key)| wanted(key));
                let rows = pairs.skip(*skip).take(*limit);
                collect(rows.filter_map(|(_, key)| self.rows.get_key_value(key)), *keys_only, size)
            }
        }
    }
}

fn collect<'a>(
    rows: impl Iterator<Item = Row<'a>>,
    keys_only: bool,
    size: &mut AnswerSize,
) -> Result<Vec<Record>, StoreError> {
    rows.map(|(key, (revision, data))| {
        let data = if keys_only { Bytes::new() } else { data.clone() };
        let record = Record { key: key.clone(), revision: *revision, data };
        size.add(&record)?;
        Ok(record)
    })
    .collect()
}
