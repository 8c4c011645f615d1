//! The engine's suite over the store of the example.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]

#[path = "../redb_store.rs"]
mod redb_store;

fn open() -> (redb_store::RedbStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = redb_store::RedbStore::open(&folder.path().join("deis.redb")).unwrap();
    (store, folder)
}

deis_core::store_suite!(open());
