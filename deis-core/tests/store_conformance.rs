//! The public suite over the stores of this crate.

mod memory {
    deis_core::store_suite!((deis_core::store::MemoryStore::new(), ()));
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use deis_core::store::SqliteStore;
    use tempfile::TempDir;

    fn open() -> (SqliteStore, TempDir) {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let store = SqliteStore::open(folder.path().join("deis.db")).expect("a new file can be opened");
        (store, folder)
    }

    deis_core::store_suite!(open());
}
