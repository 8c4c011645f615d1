//! A store on another database: the port on redb, proved by the engine's own suite in `tests/redb_store.rs`.

use std::{ops::Bound, path::Path, sync::Arc};

use async_trait::async_trait;
use deis_core::port::{
    AnswerSize, Batch, BoxError, Found, Key, Order, Read, Reading, Record, Revision, Scan, Store, StoreError,
    Write,
};
use redb::{Database, ReadTransaction, ReadableTable as _, TableDefinition};

/// What stands under a key: the revision that wrote it, and its bytes.
const RECORDS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("records");
/// The same keys in the order in which they were written.
const WRITTEN: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("written");
/// The newest revision.
const NEWEST: TableDefinition<'_, (), u64> = TableDefinition::new("newest");

/// Keeps everything in one redb file.
#[derive(Debug)]
pub(crate) struct RedbStore(Arc<Database>);

impl RedbStore {
    /// Opens the file, and makes it if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, BoxError> {
        let database = Database::create(path)?;
        let transaction = database.begin_write()?;
        transaction.open_table(RECORDS)?;
        transaction.open_table(WRITTEN)?;
        transaction.open_table(NEWEST)?.get(())?;
        transaction.commit()?;
        Ok(Self(Arc::new(database)))
    }
}

#[async_trait]
impl Store for RedbStore {
    async fn read(&self, reads: &[Read]) -> Result<Reading, StoreError> {
        Read::check(reads)?;
        let (database, reads) = (Arc::clone(&self.0), reads.to_vec());
        blocking(move || read(&database, &reads)).await
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        batch.check()?;
        let database = Arc::clone(&self.0);
        blocking(move || commit(&database, &batch)).await
    }
}

/// The database waits for the disk, so it is asked on a thread that may wait. What is no error of ours is one of it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BoxError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|panicked| Err(panicked.into()));
    done.map_err(|error| match error.downcast::<StoreError>() {
        Ok(own) => *own,
        Err(other) => StoreError::Unavailable(other),
    })
}

/// One read transaction is one moment.
fn read(database: &Database, reads: &[Read]) -> Result<Reading, BoxError> {
    let snapshot = database.begin_read()?;
    let (records, newest) = (snapshot.open_table(RECORDS)?, snapshot.open_table(NEWEST)?);
    let at = Revision(newest.get(())?.map_or(0, |newest| newest.value()));
    let mut size = AnswerSize::default();
    let mut take = |key: String, keys_only: bool| -> Result<Option<Record>, BoxError> {
        let Some(found) = records.get(key.as_str())? else { return Ok(None) };
        let data = if keys_only { &[][..] } else { found.value().1 }.to_vec().into();
        let record = Record { key: Key::new(key), revision: Revision(found.value().0), data };
        size.add(&record)?;
        Ok(Some(record))
    };
    let mut found = Vec::with_capacity(reads.len());
    for read in reads {
        found.push(match read {
            Read::Get(key) => Found::Records(take(key.as_str().to_owned(), false)?.into_iter().collect()),
            Read::Count { prefix } => {
                Found::Count(keys(&snapshot, &Scan::prefix(prefix.as_str()))?.count() as u64)
            }
            Read::Scan(scan) => {
                let keys = keys(&snapshot, scan)?.skip(scan.skip).take(scan.limit);
                let rows: Result<Vec<_>, BoxError> = keys.map(|key| take(key?, scan.keys_only)).collect();
                Found::Records(rows?.into_iter().flatten().collect())
            }
        });
    }
    Ok(Reading { at, found })
}

type Keys<'a> = Box<dyn Iterator<Item = Result<String, BoxError>> + 'a>;

/// The keys of a range, in its order.
fn keys<'a>(snapshot: &ReadTransaction, scan: &'a Scan) -> Result<Keys<'a>, BoxError> {
    let records = snapshot.open_table(RECORDS)?;
    let prefix = scan.prefix.as_str();
    let is_below = move |key: &Result<String, BoxError>| key.as_ref().map_or(true, |k| k.starts_with(prefix));
    Ok(match &scan.order {
        Order::KeyAsc { after } => {
            let after = after.as_ref().map(Key::as_str).filter(|after| *after >= prefix);
            let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
            let rows = records.range::<&str>((start, Bound::Unbounded))?;
            Box::new(rows.map(|row| Ok(row?.0.value().to_owned())).take_while(is_below))
        }
        Order::KeyDesc { after: Some(after) } if after.as_str() <= prefix => Box::new(std::iter::empty()),
        Order::KeyDesc { after } => {
            let end = after.as_ref().map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_str()));
            let rows = records.range::<&str>((Bound::Included(prefix), end))?.rev();
            Box::new(rows.map(|row| Ok(row?.0.value().to_owned())).filter(is_below))
        }
        Order::Revision { after } => {
            let after = after.as_ref().map(|(revision, key)| (revision.0, key.as_str()));
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let rows = snapshot.open_table(WRITTEN)?.range::<(u64, &str)>((start, Bound::Unbounded))?;
            Box::new(rows.map(|row| Ok(row?.0.value().1.to_owned())).filter(is_below))
        }
    })
}

/// One write transaction; dropped before its commit, it leaves nothing.
fn commit(database: &Database, batch: &Batch) -> Result<Revision, BoxError> {
    let transaction = database.begin_write()?;
    let revision = {
        let (mut records, mut written) = (transaction.open_table(RECORDS)?, transaction.open_table(WRITTEN)?);
        for edit in &batch.edits {
            let present = records.get(edit.key.as_str())?.map(|found| Revision(found.value().0));
            if !edit.expect.holds(present) {
                return Err(StoreError::Conflict { key: edit.key.clone() }.into());
            }
        }
        let mut newest = transaction.open_table(NEWEST)?;
        let revision = newest.get(())?.map_or(0, |newest| newest.value()) + 1;
        newest.insert((), revision)?;
        for edit in batch.edits.iter().filter(|edit| edit.write != Write::Keep) {
            let key = edit.key.as_str();
            let old = records.remove(key)?.map(|old| old.value().0);
            if let Some(old) = old {
                written.remove((old, key))?;
            }
            if let Write::Put(data) = &edit.write {
                records.insert(key, (revision, data.as_ref()))?;
                written.insert((revision, key), ())?;
            }
        }
        revision
    };
    transaction.commit()?;
    Ok(Revision(revision))
}
