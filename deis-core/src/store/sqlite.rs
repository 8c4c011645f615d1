//! A store in one SQLite file: the embedded default.
//!
//! One writer thread commits all waiting batches in one transaction, each in a savepoint of its own: one sync
//! serves many acknowledged changes. Readers have connections and threads beside it, so no async thread blocks.

mod cache;
mod range;
mod reader;
mod schema;
mod tally;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use async_trait::async_trait;
use tokio::sync::oneshot;

pub use schema::OpenError;

use self::{
    cache::RecordCache,
    reader::{ReadJob, Readers, newest, read_loop},
    tally::Tally,
    writer::{Job, WriteJob, write_loop},
};
use crate::port::{Batch, BoxError, Read, Reading, Revision, Store, StoreError};

/// Keeps everything in one SQLite file. What `commit` acknowledged survives power loss.
///
/// One process at a time can have the file open: the index of the write-ahead log is in its memory, so that reading
/// needs no room on the disk and no system call for a lock.
pub struct SqliteStore {
    path: PathBuf,
    writer: mpsc::Sender<Job>,
    readers: Readers,
    cache: Arc<RecordCache>,
}

impl SqliteStore {
    /// Opens the file, and makes it (readable by its owner only) if it does not exist. One that exists is opened
    /// also where the disk is full.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file. It is left as it was.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_path_buf();
        let failed = |source: BoxError| OpenError::Open { path: path.clone(), source };
        schema::touch(&path)?;
        let writer = schema::connect_writer(&path)?;
        schema::prepare(&writer, &path)?;
        let cache = Arc::new(RecordCache::new(newest(&writer).map_err(|e| failed(Box::new(e)))?));
        let tally = Tally::load(&writer).map_err(|e| failed(Box::new(e)))?;
        let (write_sender, write_receiver) = mpsc::channel();
        let (readers, read_receivers) = Readers::new();
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
            thread.map(drop).map_err(|e| failed(Box::new(e)))
        };
        let written = Arc::clone(&cache);
        spawn("deis-store-write", Box::new(move || write_loop(writer, tally, &write_receiver, &written)))?;
        for jobs in read_receivers {
            let connection = schema::connect(&path)?;
            let (filled, counted) = (Arc::clone(&cache), write_sender.clone());
            let work = move || read_loop(&connection, &jobs, &filled, &counted);
            spawn("deis-store-read", Box::new(work))?;
        }
        Ok(Self { path, writer: write_sender, readers, cache })
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn read(&self, reads: &[Read]) -> Result<Reading, StoreError> {
        Read::check(reads)?;
        if let Some(reading) = self.cache.read(reads) {
            return Ok(reading);
        }
        let (answer, receiver) = oneshot::channel();
        self.readers.send(ReadJob { reads: reads.to_vec(), answer }).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        batch.check()?;
        let (answer, receiver) = oneshot::channel();
        self.writer.send(Job::Write(WriteJob { batch, answer })).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the database thread has ended".into())
}

/// An error of the database as callers tell it from others: a full disk is called that.
fn failure(error: &rusqlite::Error) -> StoreError {
    let source = error.to_string().into();
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => StoreError::Full(source),
        _ => StoreError::Unavailable(source),
    }
}
