//! How many records stand below a prefix: where they are many, the number is kept as they come and go.
//!
//! A short range is counted faster than a number is kept: each number is a page that every batch would write.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::range::upper_bound;
use crate::port::{Batch, Expect, Write};

/// From so many records on a number is kept. It is dropped when none is left.
const MANY: i64 = 100;

/// Changes of the numbers that are kept, by prefix.
pub(super) type Changes = BTreeMap<String, i64>;

/// The prefixes, each with its slash at the end, whose numbers are kept.
#[derive(Debug)]
pub(super) struct Tally(HashSet<String>);

impl Tally {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare("SELECT prefix FROM tally")?;
        let prefixes = statement.query_map([], |row| row.get(0))?;
        Ok(Self(prefixes.collect::<rusqlite::Result<_>>()?))
    }

    /// Adds to `changes` what a batch that applies does to the numbers.
    pub(super) fn follow(&self, batch: &Batch, changes: &mut Changes) {
        for edit in &batch.edits {
            let change = match (&edit.write, edit.expect) {
                (Write::Put(_), Expect::Absent) => 1,
                (Write::Delete, Expect::Present | Expect::At(_)) => -1,
                _ => continue,
            };
            let key = edit.key.as_str();
            for (slash, _) in key.match_indices('/') {
                if let Some(prefix) = self.0.get(&key[..=slash]) {
                    *changes.entry(prefix.clone()).or_default() += change;
                }
            }
        }
    }

    /// Writes the numbers, and begins to keep those of `wanted`; answers what holds once the transaction is committed.
    pub(super) fn write(
        &self,
        transaction: &Transaction<'_>,
        changes: &Changes,
        wanted: &[String],
    ) -> rusqlite::Result<TallyChange> {
        let mut change = TallyChange::default();
        for (prefix, by) in changes.iter().filter(|(_, by)| **by != 0) {
            transaction
                .prepare_cached("UPDATE tally SET records = records + ?2 WHERE prefix = ?1")?
                .execute(params![prefix, by])?;
            let mut drop =
                transaction.prepare_cached("DELETE FROM tally WHERE prefix = ?1 AND records = 0")?;
            if *by < 0 && drop.execute([prefix])? == 1 {
                change.dropped.push(prefix.clone());
            }
        }
        for prefix in wanted.iter().filter(|prefix| !self.0.contains(*prefix)) {
            let records = count_range(transaction, prefix)?;
            if records >= MANY {
                transaction
                    .prepare_cached(
                        "INSERT INTO tally (prefix, records) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                    )?
                    .execute(params![prefix, records])?;
                change.begun.push(prefix.clone());
            }
        }
        Ok(change)
    }

    pub(super) fn committed(&mut self, change: TallyChange) {
        for prefix in change.dropped {
            self.0.remove(&prefix);
        }
        self.0.extend(change.begun);
    }
}

/// Which numbers a transaction begins or ceases to keep.
#[derive(Debug, Default)]
pub(super) struct TallyChange {
    begun: Vec<String>,
    dropped: Vec<String>,
}

/// Counts what stands below a prefix; answers also whether its number should be kept from now on.
pub(super) fn count(connection: &Connection, prefix: &str) -> rusqlite::Result<(u64, bool)> {
    if prefix.ends_with('/') {
        let mut kept = connection.prepare_cached("SELECT records FROM tally WHERE prefix = ?1")?;
        let kept: Option<i64> = kept.query_row([prefix], |row| row.get(0)).optional()?;
        if let Some(records) = kept {
            return Ok((records.unsigned_abs(), false));
        }
    }
    let records = count_range(connection, prefix)?;
    Ok((records.unsigned_abs(), prefix.ends_with('/') && records >= MANY))
}

fn count_range(connection: &Connection, prefix: &str) -> rusqlite::Result<i64> {
    let sql = "SELECT count(*) FROM record WHERE key >= ?1 AND (?2 IS NULL OR key < ?2)";
    connection.prepare_cached(sql)?.query_row(params![prefix, upper_bound(prefix)], |row| row.get(0))
}
