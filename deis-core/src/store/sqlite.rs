//! A store in one SQLite file: the embedded default.
//!
//! One writer thread commits all waiting batches in one transaction, each in a savepoint of its own: one sync
//! serves many acknowledged changes. Readers have connections and threads beside it, so no async thread blocks.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::limits;
use crate::port::{Batch, Expect, Key, Order, Record, Revision, Scan, Store, StoreError, Write};

const APPLICATION_ID: i32 = 0x6465_6973; // "deis"
const SCHEMA: i32 = 1;
const READERS: usize = 2;
/// Most batches, and about so many bytes, that one sync serves.
const GROUP: usize = 256;
const GROUP_BYTES: usize = 8 << 20;

/// Keeps everything in one SQLite file. What `commit` acknowledged survives power loss.
pub struct SqliteStore {
    path: PathBuf,
    writer: mpsc::Sender<WriteJob>,
    reader: mpsc::Sender<ReadJob>,
}

/// A file that cannot be used as a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot be opened or made.
    #[error("cannot open the database {path:?}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is another program's.
    #[error("{path:?} is a database of another program")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a newer version.
    #[error(
        "{path:?} has format {found}, newer than {SCHEMA}; use the version of deis that wrote it, or a later one"
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i32,
    },
}

type WriteJob = (Batch, oneshot::Sender<Result<Revision, StoreError>>);

enum ReadJob {
    Get(Key, oneshot::Sender<Result<Option<Record>, StoreError>>),
    Scan(Scan, oneshot::Sender<Result<Vec<Record>, StoreError>>),
}

impl SqliteStore {
    /// Opens the file, and makes it (readable by its owner only) if it does not exist.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_path_buf();
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Open { path: path.clone(), source };
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| failed(Box::new(e)))?;
        let writer = connect(&path).map_err(|e| failed(Box::new(e)))?;
        prepare(&writer, &path)?;
        let (write_sender, write_receiver) = mpsc::channel();
        let (read_sender, read_receiver) = mpsc::channel();
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(work)
                .map(drop)
                .map_err(|e| failed(Box::new(e)))
        };
        spawn("deis-store-write", Box::new(move || write_loop(writer, &write_receiver)))?;
        let read_receiver = Arc::new(Mutex::new(read_receiver));
        for _ in 0..READERS {
            let connection = connect(&path).map_err(|e| failed(Box::new(e)))?;
            let jobs = Arc::clone(&read_receiver);
            spawn("deis-store-read", Box::new(move || read_loop(&connection, &jobs)))?;
        }
        Ok(Self { path, writer: write_sender, reader: read_sender })
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.reader.send(ReadJob::Get(key.clone(), sender)).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    async fn scan(&self, scan: &Scan) -> Result<Vec<Record>, StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.reader.send(ReadJob::Scan(scan.clone(), sender)).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        limits::check(&batch)?;
        let (sender, receiver) = oneshot::channel();
        self.writer.send((batch, sender)).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the database thread has ended".into())
}

fn unavailable(error: rusqlite::Error) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn prepare(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |e: rusqlite::Error| OpenError::Open { path: path.to_path_buf(), source: Box::new(e) };
    let number = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0));
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).map_err(failed)?;
    let application = number("application_id").map_err(failed)?;
    if application != APPLICATION_ID && (application != 0 || tables != 0) {
        return Err(OpenError::Foreign { path: path.to_path_buf() });
    }
    let found = number("user_version").map_err(failed)?;
    if found > SCHEMA {
        return Err(OpenError::TooNew { path: path.to_path_buf(), found });
    }
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL;
             BEGIN IMMEDIATE;
             CREATE TABLE IF NOT EXISTS record (
                 key TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
                 revision INTEGER NOT NULL,
                 data BLOB NOT NULL
             ) WITHOUT ROWID;
             CREATE INDEX IF NOT EXISTS record_revision ON record (revision, key);
             CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);
             INSERT OR IGNORE INTO counter VALUES (1, 0);
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {SCHEMA};
             COMMIT;"
        ))
        .map_err(failed)
}

fn write_loop(mut connection: Connection, jobs: &mpsc::Receiver<WriteJob>) {
    while let Ok(first) = jobs.recv() {
        let mut bytes = limits::bytes(&first.0);
        let mut waiting = vec![first];
        while bytes < GROUP_BYTES
            && waiting.len() < GROUP
            && let Ok(next) = jobs.try_recv()
        {
            bytes += limits::bytes(&next.0);
            waiting.push(next);
        }
        write_group(&mut connection, waiting);
    }
}

/// Commits a group of batches in one transaction; answers only once that is durable.
fn write_group(connection: &mut Connection, jobs: Vec<WriteJob>) {
    let (batches, senders): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
    let answers = (|| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let answers = batches
            .iter()
            .map(|batch| write_batch(&transaction, batch))
            .collect::<rusqlite::Result<Vec<_>>>()?;
        transaction.commit()?;
        Ok(answers)
    })();
    match answers {
        Ok(answers) => {
            // A caller that went away has nobody to be told.
            senders.into_iter().zip(answers).for_each(|(sender, answer)| drop(sender.send(answer)));
        }
        Err(error) => {
            let text = rusqlite::Error::to_string(&error);
            for sender in senders {
                let _ = sender.send(Err(StoreError::Unavailable(text.clone().into())));
            }
        }
    }
}

fn write_batch(
    transaction: &Transaction<'_>,
    batch: &Batch,
) -> rusqlite::Result<Result<Revision, StoreError>> {
    transaction.prepare_cached("SAVEPOINT batch")?.execute([])?;
    let result = match apply(transaction, batch) {
        // As long as the transaction stands, it is this batch alone that failed.
        Err(error) if !transaction.is_autocommit() => Err(unavailable(error)),
        applied => applied?,
    };
    if result.is_err() {
        transaction.prepare_cached("ROLLBACK TO batch")?.execute([])?;
    }
    transaction.prepare_cached("RELEASE batch")?.execute([])?;
    Ok(result)
}

fn apply(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<Result<Revision, StoreError>> {
    let revision: i64 = transaction
        .prepare_cached("UPDATE counter SET revision = revision + 1 WHERE id = 1 RETURNING revision")?
        .query_row([], |row| row.get(0))?;
    for edit in &batch.edits {
        let key = edit.key.as_str();
        let present: Option<i64> = transaction
            .prepare_cached("SELECT revision FROM record WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        let holds = match edit.expect {
            Expect::Absent => present.is_none(),
            Expect::Present => present.is_some(),
            Expect::At(Revision(wanted)) => present.and_then(|p| u64::try_from(p).ok()) == Some(wanted),
        };
        if !holds {
            return Ok(Err(StoreError::Conflict { key: edit.key.clone() }));
        }
        match &edit.write {
            Write::Keep => {}
            Write::Put(data) => {
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO record (key, revision, data) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![key, revision, data.as_ref()])?;
            }
            Write::Delete => {
                transaction.prepare_cached("DELETE FROM record WHERE key = ?1")?.execute([key])?;
            }
        }
    }
    Ok(Ok(Revision(revision.unsigned_abs())))
}

fn read_loop(connection: &Connection, jobs: &Mutex<mpsc::Receiver<ReadJob>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(ReadJob::Get(key, sender)) => {
                let _ = sender.send(read_one(connection, &key).map_err(unavailable));
            }
            Ok(ReadJob::Scan(scan, sender)) => {
                let _ = sender.send(read_many(connection, &scan).map_err(unavailable));
            }
            Err(_) => return,
        }
    }
}

fn read_one(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Record>> {
    connection
        .prepare_cached("SELECT key, revision, data FROM record WHERE key = ?1")?
        .query_row([key.as_str()], to_record)
        .optional()
}

fn read_many(connection: &Connection, scan: &Scan) -> rusqlite::Result<Vec<Record>> {
    let limit = i64::try_from(scan.limit).unwrap_or(i64::MAX);
    let prefix = scan.prefix.as_str();
    let end = upper_bound(prefix);
    let range = "key >= ?1 AND (?2 IS NULL OR key < ?2)";
    match &scan.order {
        Order::KeyAsc { after } => {
            let sql = format!(
                "SELECT key, revision, data FROM record WHERE {range} AND (?3 IS NULL OR key > ?3) ORDER BY key LIMIT ?4"
            );
            let after = after.as_ref().map(Key::as_str);
            connection
                .prepare_cached(&sql)?
                .query_map(params![prefix, end, after, limit], to_record)?
                .collect()
        }
        Order::KeyDesc { after } => {
            let sql = format!(
                "SELECT key, revision, data FROM record WHERE {range} AND (?3 IS NULL OR key < ?3)
                 ORDER BY key DESC LIMIT ?4"
            );
            let after = after.as_ref().map(Key::as_str);
            connection
                .prepare_cached(&sql)?
                .query_map(params![prefix, end, after, limit], to_record)?
                .collect()
        }
        Order::Revision { after } => {
            let sql = format!(
                "SELECT key, revision, data FROM record INDEXED BY record_revision
                 WHERE (revision, key) > (?3, ?5) AND {range} ORDER BY revision, key LIMIT ?4"
            );
            let (revision, key) = match after {
                Some((Revision(revision), key)) => {
                    (i64::try_from(*revision).unwrap_or(i64::MAX), key.as_str())
                }
                None => (0, ""),
            };
            connection
                .prepare_cached(&sql)?
                .query_map(params![prefix, end, revision, limit, key], to_record)?
                .collect()
        }
    }
}

/// The first text behind all that start with `prefix`; `None` if there is none.
fn upper_bound(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

fn to_record(row: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    let key: String = row.get(0)?;
    let revision: i64 = row.get(1)?;
    let data: Vec<u8> = row.get(2)?;
    Ok(Record { key: Key::new(key), revision: Revision(revision.unsigned_abs()), data: data.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Edit;

    #[test]
    fn a_batch_that_the_database_refuses_fails_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deis.db");
        drop(SqliteStore::open(&path).unwrap());
        let mut connection = connect(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TRIGGER refuse BEFORE INSERT ON record WHEN new.key = 'bad'
                 BEGIN SELECT RAISE(ABORT, 'no'); END",
            )
            .unwrap();
        let (jobs, mut answers): (Vec<WriteJob>, Vec<_>) = ["good", "bad", "better"]
            .map(|key| {
                let put = |key: &str| Edit {
                    key: Key::new(key),
                    expect: Expect::Absent,
                    write: Write::Put(b"x".to_vec().into()),
                };
                let (sender, receiver) = oneshot::channel();
                ((Batch { edits: vec![put(&format!("before-{key}")), put(key)] }, sender), receiver)
            })
            .into_iter()
            .unzip();
        write_group(&mut connection, jobs);
        let mut answer = || answers.remove(0).try_recv().unwrap();
        let good = answer().unwrap();
        assert!(matches!(answer(), Err(StoreError::Unavailable(_))));
        assert!(answer().unwrap() > good);
        let kept = read_many(&connection, &Scan::prefix("")).unwrap();
        let kept: Vec<&str> = kept.iter().map(|record| record.key.as_str()).collect();
        assert_eq!(kept, ["before-better", "before-good", "better", "good"]);
    }
}
