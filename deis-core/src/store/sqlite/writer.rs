//! The thread that writes: one transaction, and one sync, for all batches that wait.

use std::sync::mpsc;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::{
    cache::RecordCache,
    failure,
    tally::{Changes, Tally},
};
use crate::port::{Batch, Edit, Expect, Revision, StoreError, Write};

/// Most batches, and about so many bytes, that one sync serves.
const GROUP: usize = 256;
const GROUP_BYTES: usize = 8 << 20;
/// Free pages that stay in the file for what is written next: 1 MiB.
const FREE_PAGES: i64 = 256;
/// Pages that are given back to the disk in one go, between two looks at who waits.
const VACUUM_PAGES: i64 = 512;

/// What waits for the writer.
pub(super) enum Job {
    Write(WriteJob),
    /// To keep the number of records below this prefix: somebody has just counted many.
    KeepCount(String),
}

/// A batch that waits to be committed.
pub(super) struct WriteJob {
    pub(super) batch: Batch,
    pub(super) answer: oneshot::Sender<Result<Revision, StoreError>>,
}

/// What one transaction is for.
#[derive(Default)]
pub(super) struct Group {
    pub(super) jobs: Vec<WriteJob>,
    pub(super) counts: Vec<String>,
    pub(super) bytes: usize,
}

impl Group {
    fn add(&mut self, job: Job) {
        match job {
            Job::Write(job) => {
                self.bytes += job.batch.bytes();
                self.jobs.push(job);
            }
            Job::KeepCount(prefix) => self.counts.push(prefix),
        }
    }

    fn is_full(&self) -> bool {
        self.bytes >= GROUP_BYTES || self.jobs.len() + self.counts.len() >= GROUP
    }
}

pub(super) fn write_loop(
    mut connection: Connection,
    mut tally: Tally,
    jobs: &mpsc::Receiver<Job>,
    cache: &RecordCache,
) {
    let mut deleted = false;
    loop {
        let first = match jobs.try_recv() {
            Ok(first) => first,
            // Nobody waits: time for what deletions left behind.
            Err(mpsc::TryRecvError::Empty) if deleted => {
                deleted = vacuum(&connection).unwrap_or(false);
                continue;
            }
            Err(mpsc::TryRecvError::Empty) => match jobs.recv() {
                Ok(first) => first,
                Err(mpsc::RecvError) => return,
            },
            Err(mpsc::TryRecvError::Disconnected) => return,
        };
        let mut group = Group::default();
        group.add(first);
        while !group.is_full()
            && let Ok(next) = jobs.try_recv()
        {
            group.add(next);
        }
        let has_deletion = |job: &WriteJob| job.batch.edits.iter().any(|edit| edit.write == Write::Delete);
        deleted |= group.jobs.iter().any(has_deletion);
        write_group(&mut connection, &mut tally, group, cache);
    }
}

/// Gives some free pages back to the disk; answers whether there are more.
fn vacuum(connection: &Connection) -> rusqlite::Result<bool> {
    let free: i64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    if free <= FREE_PAGES {
        return Ok(false);
    }
    let pages = VACUUM_PAGES.min(free - FREE_PAGES);
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    // It frees one page for each step.
    while rows.next()?.is_some() {}
    drop(rows);
    drop(statement);
    let more = free - pages > FREE_PAGES;
    if !more {
        // The file itself becomes shorter when the log is written back.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(more)
}

/// Commits a group of batches in one transaction; answers only once that is durable.
pub(super) fn write_group(connection: &mut Connection, tally: &mut Tally, group: Group, cache: &RecordCache) {
    let jobs = group.jobs;
    let written = (|| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut changes = Changes::new();
        let mut answers = Vec::with_capacity(jobs.len());
        for job in &jobs {
            let answer = write_batch(&transaction, &job.batch)?;
            if answer.is_ok() {
                tally.follow(&job.batch, &mut changes);
            }
            answers.push(answer);
        }
        let change = tally.write(&transaction, &changes, &group.counts)?;
        transaction.commit()?;
        Ok((answers, change))
    })();
    match written {
        Ok((answers, change)) => {
            tally.committed(change);
            let newest = answers.iter().filter_map(|answer| answer.as_ref().ok()).max().copied();
            let applied = jobs.iter().zip(&answers).filter_map(|(job, answer)| {
                let revision = *answer.as_ref().ok()?;
                Some(job.batch.edits.iter().map(move |edit| (revision, edit)))
            });
            // Whoever is told of a commit reads what it wrote, and no older moment where it wrote nothing.
            if let Some(newest) = newest {
                cache.committed(newest, applied.flatten());
            }
            for (job, answer) in jobs.into_iter().zip(answers) {
                // A caller that went away has nobody to be told.
                let _ = job.answer.send(answer);
            }
        }
        Err(error) => {
            let error: rusqlite::Error = error;
            for job in jobs {
                let _ = job.answer.send(Err(failure(&error)));
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
        Err(error) if !transaction.is_autocommit() => Err(failure(&error)),
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
        if !apply_edit(transaction, edit, revision)? {
            return Ok(Err(StoreError::Conflict { key: edit.key.clone() }));
        }
    }
    Ok(Ok(Revision(revision.unsigned_abs())))
}

/// Applies one edit in a single statement that finds only what is as expected; answers whether it was.
fn apply_edit(transaction: &Transaction<'_>, edit: &Edit, revision: i64) -> rusqlite::Result<bool> {
    let key = edit.key.as_str();
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        transaction.prepare_cached(sql)?.execute(values).map(|rows| rows == 1)
    };
    let read = || {
        let mut statement = transaction.prepare_cached("SELECT revision FROM record WHERE key = ?1")?;
        let present: Option<i64> = statement.query_row([key], |row| row.get(0)).optional()?;
        Ok(edit.expect.holds(present.map(|n| Revision(n.unsigned_abs()))))
    };
    // A revision that no record can have.
    let number = |Revision(wanted): Revision| i64::try_from(wanted).unwrap_or(-1);
    match (&edit.write, edit.expect) {
        (Write::Keep, _) | (Write::Delete, Expect::Absent) => read(),
        (Write::Put(data), Expect::Absent) => run(
            "INSERT INTO record (key, revision, data) VALUES (?1, ?2, ?3) ON CONFLICT (key) DO NOTHING",
            params![key, revision, data.as_ref()],
        ),
        (Write::Put(data), Expect::Present) => run(
            "UPDATE record SET revision = ?2, data = ?3 WHERE key = ?1",
            params![key, revision, data.as_ref()],
        ),
        (Write::Put(data), Expect::At(wanted)) => run(
            "UPDATE record SET revision = ?2, data = ?3 WHERE key = ?1 AND revision = ?4",
            params![key, revision, data.as_ref(), number(wanted)],
        ),
        (Write::Delete, Expect::Present) => run("DELETE FROM record WHERE key = ?1", params![key]),
        (Write::Delete, Expect::At(wanted)) => {
            run("DELETE FROM record WHERE key = ?1 AND revision = ?2", params![key, number(wanted)])
        }
    }
}
