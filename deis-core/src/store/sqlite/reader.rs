//! The threads that read: one transaction for each call, or for several small ones that wait together.

use std::sync::mpsc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};
use tokio::sync::oneshot;

use super::{
    cache::RecordCache,
    failure,
    range::{EVENT_RANGE, EVENTS, upper_bound},
    tally::count,
    writer::Job,
};
use crate::port::{AnswerSize, Found, Key, Order, Read, Reading, Record, Revision, Scan, StoreError};

/// Most small calls that share a transaction.
const GROUP: usize = 16;
/// Most reads of a small call.
const SMALL: usize = 16;

/// A call that waits for a reader.
pub(super) struct ReadJob {
    pub(super) reads: Vec<Read>,
    pub(super) answer: oneshot::Sender<Result<Reading, StoreError>>,
}

/// Where calls wait. Small ones have a thread of their own, so that they never wait behind a long list. Each thread has
/// its own channel: one that several threads receive from needs a lock, and each call would wake two threads.
pub(super) struct Readers {
    small: mpsc::Sender<ReadJob>,
    large: mpsc::Sender<ReadJob>,
}

impl Readers {
    /// The place to put calls into, and the two ends that [`read_loop`] takes them from.
    pub(super) fn new() -> (Self, [mpsc::Receiver<ReadJob>; 2]) {
        let ((small, small_jobs), (large, large_jobs)) = (mpsc::channel(), mpsc::channel());
        (Self { small, large }, [small_jobs, large_jobs])
    }

    /// Hands over a call; gives it back if the thread has ended.
    pub(super) fn send(&self, job: ReadJob) -> Result<(), mpsc::SendError<ReadJob>> {
        let is_small = job.reads.len() <= SMALL && job.reads.iter().all(|read| matches!(read, Read::Get(_)));
        if is_small { self.small.send(job) } else { self.large.send(job) }
    }
}

pub(super) fn read_loop(
    connection: &Connection,
    jobs: &mpsc::Receiver<ReadJob>,
    cache: &RecordCache,
    writer: &mpsc::Sender<Job>,
) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = jobs.try_recv()
        {
            group.push(next);
        }
        // Whoever went away meanwhile needs no answer.
        group.retain(|job| !job.answer.is_closed());
        for prefix in read_group(connection, group, cache) {
            // Without it the next count only takes as long as this one.
            let _ = writer.send(Job::KeepCount(prefix));
        }
    }
}

/// Answers all calls from one moment; returns the prefixes whose numbers should be kept.
fn read_group(connection: &Connection, group: Vec<ReadJob>, cache: &RecordCache) -> Vec<String> {
    let mut long_counts = Vec::new();
    // It has changed nothing, so it does not matter whether it is committed or rolled back.
    let transaction = match connection.unchecked_transaction() {
        Ok(transaction) => transaction,
        Err(error) => {
            for job in group {
                let _ = job.answer.send(Err(failure(&error)));
            }
            return long_counts;
        }
    };
    for job in group {
        let answer = answer(&transaction, &job.reads, &mut long_counts);
        if let Ok(reading) = &answer {
            cache.fill(&job.reads, reading);
        }
        let _ = job.answer.send(answer);
    }
    long_counts
}

fn answer(
    connection: &Connection,
    reads: &[Read],
    long_counts: &mut Vec<String>,
) -> Result<Reading, StoreError> {
    let at = newest(connection).map_err(|e| failure(&e))?;
    let mut size = AnswerSize::default();
    let mut found = Vec::with_capacity(reads.len());
    for read in reads {
        found.push(match read {
            Read::Get(key) => {
                let record = get(connection, key).map_err(|e| failure(&e))?;
                record.iter().try_for_each(|record| size.add(record))?;
                Found::Records(record.into_iter().collect())
            }
            Read::Scan(range) => Found::Records(scan(connection, range, &mut size)?),
            Read::Count { prefix } => {
                let (records, is_long) = count(connection, prefix).map_err(|e| failure(&e))?;
                long_counts.extend(is_long.then(|| prefix.clone()));
                Found::Count(records)
            }
        });
    }
    Ok(Reading { at, found })
}

/// The newest commit that the connection sees.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut statement = connection.prepare_cached("SELECT revision FROM counter WHERE id = 1")?;
    statement.query_row([], |row| revision(row, 0))
}

fn get(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Record>> {
    connection
        .prepare_cached("SELECT revision, data FROM record WHERE key = ?1")?
        .query_row([key.as_str()], |row| {
            let data = Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?);
            Ok(Record { key: key.clone(), revision: revision(row, 0)?, data })
        })
        .optional()
}

fn scan(connection: &Connection, scan: &Scan, size: &mut AnswerSize) -> Result<Vec<Record>, StoreError> {
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let (skip, limit) = (number(scan.skip), number(scan.limit));
    let prefix = scan.prefix.as_str();
    let end = upper_bound(prefix);
    let data = if scan.keys_only { "x''" } else { "data" };
    let from = format!("SELECT key, revision, {data} FROM record");
    // Each bound is there or not, so that the database sees a plain range of its index.
    let below = if end.is_some() { "AND key < ?2" } else { "AND ?2 IS NULL" };
    match &scan.order {
        Order::KeyAsc { after } => {
            let after = after.as_ref().map(Key::as_str).filter(|after| *after >= prefix);
            let above = if after.is_some() { "key > ?1" } else { "key >= ?1" };
            let sql = format!("{from} WHERE {above} {below} ORDER BY key LIMIT ?3 OFFSET ?4");
            rows(connection, &sql, params![after.unwrap_or(prefix), end, limit, skip], size)
        }
        Order::KeyDesc { after } => {
            let after = after.as_ref().map(Key::as_str);
            let before = match (after, end.as_deref()) {
                (Some(after), Some(end)) => Some(after.min(end)),
                (after, end) => after.or(end),
            };
            let below = if before.is_some() { "AND key < ?2" } else { "AND ?2 IS NULL" };
            let sql = format!("{from} WHERE key >= ?1 {below} ORDER BY key DESC LIMIT ?3 OFFSET ?4");
            rows(connection, &sql, params![prefix, before, limit, skip], size)
        }
        Order::Revision { after } => {
            let (index, range) = if prefix.starts_with(EVENTS) {
                // The database takes the index only where it sees that the range is the index's own.
                ("INDEXED BY event_order", EVENT_RANGE)
            } else {
                ("", "TRUE")
            };
            let sql = format!(
                "{from} {index} WHERE (revision, key) > (?5, ?6) AND key >= ?1 {below} AND {range}
                 ORDER BY revision, key LIMIT ?3 OFFSET ?4"
            );
            let (revision, key) = match after {
                Some((Revision(revision), key)) => {
                    (i64::try_from(*revision).unwrap_or(i64::MAX), key.as_str())
                }
                None => (0, ""),
            };
            rows(connection, &sql, params![prefix, end, limit, skip, revision, key], size)
        }
    }
}

fn rows(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    size: &mut AnswerSize,
) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    let mut collect = || {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(values)?;
        while let Some(row) = rows.next()? {
            let key = Key::new(row.get_ref(0)?.as_str()?);
            let data = Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?);
            let record = Record { key, revision: revision(row, 1)?, data };
            if let Err(too_large) = size.add(&record) {
                return Ok(Err(too_large));
            }
            records.push(record);
        }
        Ok(Ok(()))
    };
    collect().map_err(|e: rusqlite::Error| failure(&e))??;
    Ok(records)
}

fn revision(row: &Row<'_>, column: usize) -> rusqlite::Result<Revision> {
    Ok(Revision(row.get::<_, i64>(column)?.unsigned_abs()))
}
