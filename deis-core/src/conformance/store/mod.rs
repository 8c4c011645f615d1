//! What every store must do: order, pages, expectations, whole batches, one winner, no gaps.
//!
//! [`store_suite!`](crate::store_suite) makes a named test of each case.

mod batches;
mod moments;
mod reads;
mod scans;
mod writers;

use std::sync::Arc;

use bytes::Bytes;

use crate::port::{
    Batch, Edit, Expect, Found, Key, Read, Reading, Record, Revision, Scan, Store, StoreError, StoreExt as _,
    Write,
};

pub use batches::*;
pub use moments::*;
pub use reads::*;
pub use scans::*;
pub use writers::*;

/// An empty store.
pub type StoreSubject = Arc<dyn Store>;

/// Makes a test of each case of [`conformance::store`](crate::conformance::store), in the module where it stands.
///
/// It takes an expression that gives an empty store and whatever must live as long as that (a temporary folder, or
/// `()`); it is evaluated once in each test. The tests run on Tokio, so that crate must be at hand with its macros.
///
/// ```
/// mod memory {
///     deis_core::store_suite!((deis_core::store::MemoryStore::new(), ()));
/// }
/// ```
#[macro_export]
macro_rules! store_suite {
    ($store:expr) => {
        $crate::store_suite! { $store =>
            keys_compare_as_bytes
            a_prefix_is_taken_literally
            every_text_can_be_a_prefix
            scans_stop_at_their_limit
            scans_go_on_after_a_key
            pages_show_each_record_once
            the_order_of_revisions_is_that_of_writes
            pages_by_revision_show_each_record_once
            reads_are_answered_in_their_order
            scans_leave_out_what_they_skip
            a_scan_for_keys_brings_no_data
            counts_are_those_of_scans
            counts_follow_what_is_written
            many_reads_are_taken_and_more_refused
            an_answer_that_is_too_large_is_refused
            values_come_back_as_they_were
            a_batch_has_one_revision
            revisions_rise
            expectations_decide
            a_conflict_names_its_record_and_changes_nothing
            a_guard_changes_nothing
            a_revision_never_comes_back
            a_key_stands_once_in_a_batch
            large_batches_are_taken
            a_batch_that_is_too_large_changes_nothing
            what_was_acknowledged_is_seen
            one_writer_wins
            one_creator_wins
            no_increment_is_lost
            disjoint_writers_all_succeed
            a_scan_shows_one_moment
            a_reading_never_mixes_two_lives
            a_reading_never_shows_half_a_batch
            a_reading_says_which_moment_it_is
            a_follower_goes_on_from_a_reading_without_a_gap
            revisions_become_visible_in_order
            a_dropped_commit_is_whole_or_nothing
            dropped_reads_hold_up_nobody
        }
    };
    ($store:expr => $($case:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (store, _kept) = $store;
            $crate::conformance::store::$case(::std::sync::Arc::new(store)).await;
        }
    )* };
}

fn key(text: &str) -> Key {
    Key::new(text)
}

fn edit(key: &str, expect: Expect, write: Write) -> Edit {
    Edit { key: Key::new(key), expect, write }
}

fn put(key: &str, expect: Expect, data: &str) -> Edit {
    edit(key, expect, Write::Put(Bytes::copy_from_slice(data.as_bytes())))
}

async fn commit(s: &StoreSubject, edits: Vec<Edit>) -> Result<Revision, StoreError> {
    s.commit(Batch { edits }).await
}

/// Creates records that hold their own keys, all in one batch.
async fn create(s: &StoreSubject, keys: &[&str]) -> Revision {
    let edits = keys.iter().map(|key| put(key, Expect::Absent, key)).collect();
    commit(s, edits).await.expect("new records are taken")
}

async fn get(s: &StoreSubject, key: &str) -> Option<Record> {
    s.get(&Key::new(key)).await.expect("the store can be read")
}

/// Text of a record.
async fn text(s: &StoreSubject, key: &str) -> Option<String> {
    get(s, key).await.map(|record| String::from_utf8_lossy(&record.data).into_owned())
}

async fn read(s: &StoreSubject, reads: &[Read]) -> Reading {
    let reading = s.read(reads).await.expect("the store can be read");
    assert_eq!(reading.found.len(), reads.len(), "each read has its answer");
    reading
}

/// The records of an answer.
#[track_caller]
fn records(found: &Found) -> &[Record] {
    match found {
        Found::Records(records) => records,
        Found::Count(count) => panic!("records were asked for, not {count}"),
    }
}

async fn count(s: &StoreSubject, prefix: &str) -> u64 {
    s.count(prefix).await.expect("the store can count")
}

async fn scan(s: &StoreSubject, wanted: &Scan) -> Vec<Record> {
    s.scan(wanted).await.expect("the store can be scanned")
}

/// Keys of what a scan finds.
async fn keys(s: &StoreSubject, wanted: &Scan) -> Vec<String> {
    scan(s, wanted).await.into_iter().map(|record| record.key.as_str().to_owned()).collect()
}

/// Everything that is in the store.
async fn all(s: &StoreSubject) -> Vec<Record> {
    scan(s, &Scan::prefix("")).await
}

#[track_caller]
fn assert_conflict<T: std::fmt::Debug>(answer: &Result<T, StoreError>, on: &str) {
    match answer {
        Err(StoreError::Conflict { key }) => assert_eq!(key.as_str(), on, "the record of the conflict"),
        other => panic!("a conflict on {on:?} was expected, not {other:?}"),
    }
}
