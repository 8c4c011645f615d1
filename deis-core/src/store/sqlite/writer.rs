//! The thread that writes: one transaction, and one sync, for all batches that wait.

use std::sync::mpsc;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::{
    cache::RecordCache,
    failure,
    tally::{Changes, Tally, TallyChange},
};
use crate::port::{Batch, Expect, Key, Revision, StoreError, Write};

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
    let Group { jobs, counts, .. } = group;
    match write_transaction(connection, tally, &jobs, &counts) {
        Ok(Written { answers, tally: change }) => {
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
        // It may be one batch alone that the database refuses: each has its own transaction now.
        Err(WriteError::Apply(_)) if jobs.len() > 1 => {
            for job in jobs {
                let alone = Group { jobs: vec![job], ..Group::default() };
                write_group(connection, tally, alone, cache);
            }
        }
        Err(WriteError::Apply(error) | WriteError::Commit(error)) => {
            for job in jobs {
                let _ = job.answer.send(Err(failure(&error)));
            }
        }
    }
}

/// What one transaction did.
struct Written {
    answers: Vec<Result<Revision, StoreError>>,
    tally: TallyChange,
}

/// Why a transaction did nothing.
enum WriteError {
    /// The database refused a statement.
    Apply(rusqlite::Error),
    /// It is not known to be durable. What a failed sync has dropped is not written by the next one, so that nobody tries
    /// again.
    Commit(rusqlite::Error),
}

fn write_transaction(
    connection: &mut Connection,
    tally: &Tally,
    jobs: &[WriteJob],
    counts: &[String],
) -> Result<Written, WriteError> {
    let apply_all = |transaction: &Transaction<'_>| {
        let mut revision = transaction
            .prepare_cached("SELECT revision FROM counter WHERE id = 1")?
            .query_row([], |row| row.get::<_, i64>(0))?;
        let mut changes = Changes::new();
        let mut answers = Vec::with_capacity(jobs.len());
        for WriteJob { batch, .. } in jobs {
            let conflict = conflict(transaction, batch)?;
            if conflict.is_none() {
                revision += 1;
                apply(transaction, batch, revision)?;
                tally.follow(batch, &mut changes);
            }
            let applied = Ok(Revision(revision.unsigned_abs()));
            answers.push(conflict.map_or(applied, |key| Err(StoreError::Conflict { key })));
        }
        transaction.prepare_cached("UPDATE counter SET revision = ?1 WHERE id = 1")?.execute([revision])?;
        let tally = tally.write(transaction, &changes, counts)?;
        Ok(Written { answers, tally })
    };
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(WriteError::Apply)?;
    let written = apply_all(&transaction).map_err(WriteError::Apply)?;
    transaction.commit().map_err(WriteError::Commit)?;
    Ok(written)
}

/// The first key that is not as a batch expects it. All are looked at before the first is written, so that a batch never
/// has to be undone: SQLite would copy each page beforehand that it changes, to a file of its own.
fn conflict(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<Option<Key>> {
    let mut statement = transaction.prepare_cached("SELECT revision FROM record WHERE key = ?1")?;
    for edit in &batch.edits {
        let present: Option<i64> = statement.query_row([edit.key.as_str()], |row| row.get(0)).optional()?;
        if !edit.expect.holds(present.map(|n| Revision(n.unsigned_abs()))) {
            return Ok(Some(edit.key.clone()));
        }
    }
    Ok(None)
}

fn apply(transaction: &Transaction<'_>, batch: &Batch, revision: i64) -> rusqlite::Result<()> {
    for edit in &batch.edits {
        let key = edit.key.as_str();
        let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            transaction.prepare_cached(sql)?.execute(values).map(drop)
        };
        match (&edit.write, edit.expect) {
            (Write::Keep, _) | (Write::Delete, Expect::Absent) => {}
            (Write::Put(data), Expect::Absent) => run(
                "INSERT INTO record (key, revision, data) VALUES (?1, ?2, ?3)",
                params![key, revision, data.as_ref()],
            )?,
            (Write::Put(data), Expect::Present | Expect::At(_)) => run(
                "UPDATE record SET revision = ?2, data = ?3 WHERE key = ?1",
                params![key, revision, data.as_ref()],
            )?,
            (Write::Delete, Expect::Present | Expect::At(_)) => {
                run("DELETE FROM record WHERE key = ?1", params![key])?;
            }
        }
    }
    Ok(())
}
