//! The file: how it is opened, whose it is, which tables are in it.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::range::EVENT_RANGE;

const APPLICATION_ID: i32 = 0x6465_6973; // "deis"
const SCHEMA: i32 = 3;

/// Keeps the index of the write-ahead log in this process's memory instead of a mapped file. A full disk cannot
/// stop a start then, and readers take no file locks. Several connections of one process share it.
const VFS: &str = "unix-excl";

/// What the write-ahead log keeps of the disk once it has been written back, however large it was: room for
/// [`LOG_PAGES`], so that in the usual case it neither shrinks nor grows, for then a commit would also have to sync its size.
const LOG_BYTES: i64 = 34 << 20;

/// Pages in the write-ahead log after which it is written back. The same few pages change over and over, so the longer
/// the log, the fewer are written twice; a start after a kill reads all of it once.
const LOG_PAGES: i64 = 8000;

/// Memory for pages of the connection that writes, in KiB: each batch changes a page for each of its keys, and what is not
/// at hand is read from the file again.
const WRITER_PAGES_KIB: i64 = 8192;

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
    /// It was written by a version from before the first that was published.
    #[error("{path:?} has format {found}, from before the first release; start with an empty data folder")]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i32,
    },
}

/// Makes the file, readable by its owner only, if it is not there.
pub(super) fn touch(path: &Path) -> Result<(), OpenError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path);
    file.map(drop).map_err(|e| OpenError::Open { path: path.to_path_buf(), source: Box::new(e) })
}

pub(super) fn connect(path: &Path) -> Result<Connection, OpenError> {
    let open = || {
        let connection = Connection::open_with_flags_and_vfs(path, OpenFlags::default(), VFS)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    };
    open().map_err(|e: rusqlite::Error| failed(path, e))
}

/// A connection that writes.
pub(super) fn connect_writer(path: &Path) -> Result<Connection, OpenError> {
    let connection = connect(path)?;
    connection.pragma_update(None, "cache_size", -WRITER_PAGES_KIB).map_err(|e| failed(path, e))?;
    Ok(connection)
}

/// Makes the tables, unless they are there: then nothing is written.
pub(super) fn prepare(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let number = |sql: &str| {
        let read = connection.query_row(sql, [], |row| row.get::<_, i32>(0));
        read.map_err(|e| failed(path, e))
    };
    let tables = number("SELECT count(*) FROM sqlite_master")?;
    let application = number("PRAGMA application_id")?;
    if application != APPLICATION_ID && (application != 0 || tables != 0) {
        return Err(OpenError::Foreign { path: path.to_path_buf() });
    }
    let found = number("PRAGMA user_version")?;
    match found {
        SCHEMA => return Ok(()),
        0 if tables == 0 => {}
        _ if found > SCHEMA => return Err(OpenError::TooNew { path: path.to_path_buf(), found }),
        _ => return Err(OpenError::TooOld { path: path.to_path_buf(), found }),
    }
    // `auto_vacuum` counts only while there is nothing in the file, be it the mark of the journal mode.
    connection
        .execute_batch(&format!(
            "PRAGMA auto_vacuum = INCREMENTAL;
             PRAGMA journal_mode = WAL;
             BEGIN IMMEDIATE;
             CREATE TABLE record (
                 key TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
                 revision INTEGER NOT NULL,
                 data BLOB NOT NULL
             ) WITHOUT ROWID;
             CREATE INDEX event_order ON record (revision, key) WHERE {EVENT_RANGE};
             CREATE TABLE tally (prefix TEXT NOT NULL PRIMARY KEY, records INTEGER NOT NULL) WITHOUT ROWID;
             CREATE TABLE counter (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);
             INSERT INTO counter VALUES (1, 0);
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {SCHEMA};
             COMMIT;"
        ))
        .map_err(|e| failed(path, e))
}

fn failed(path: &Path, error: rusqlite::Error) -> OpenError {
    OpenError::Open { path: path.to_path_buf(), source: Box::new(error) }
}
