//! The public suite over the stores of this crate.

mod memory {
    deis_core::store_suite!((deis_core::store::MemoryStore::new(), ()));
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use deis_core::{
        port::{Batch, Edit, Expect, Key, Store as _, StoreExt as _, Write},
        store::{OpenError, SqliteStore},
    };
    use tempfile::TempDir;

    fn open() -> (SqliteStore, TempDir) {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let store = SqliteStore::open(folder.path().join("deis.db")).expect("a new file can be opened");
        (store, folder)
    }

    deis_core::store_suite!(open());

    #[tokio::test]
    async fn state_and_revisions_go_on_where_they_ended() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("deis.db");
        let put = |key: &str| {
            let write = Write::Put(b"x".to_vec().into());
            Batch { edits: vec![Edit { key: Key::new(key), expect: Expect::Absent, write }] }
        };
        let before = SqliteStore::open(&path).expect("it opens").commit(put("a")).await.expect("it is free");
        let store = SqliteStore::open(&path).expect("it opens again");
        let record = store.get(&Key::new("a")).await.expect("it can be read").expect("it is there");
        assert_eq!(record.revision, before);
        assert!(store.commit(put("b")).await.expect("it is free") > before);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test may block")]
    fn files_of_others_are_left_alone() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(
            path("text"),
            "this is no database, and it is long enough to look like one".repeat(100),
        )
        .expect("it can be written");
        let before = std::fs::read(path("text")).expect("it can be read");
        assert!(matches!(SqliteStore::open(path("text")), Err(OpenError::Open { .. })));
        assert_eq!(std::fs::read(path("text")).expect("it can be read"), before);
        let other = rusqlite::Connection::open(path("other")).expect("it opens");
        other.execute_batch("CREATE TABLE theirs (a)").expect("it is a table");
        assert!(matches!(SqliteStore::open(path("other")), Err(OpenError::Foreign { .. })));
        drop(SqliteStore::open(path("newer")).expect("it opens"));
        let newer = rusqlite::Connection::open(path("newer")).expect("it opens");
        newer.pragma_update(None, "user_version", 99).expect("it can be set");
        let refused = SqliteStore::open(path("newer")).expect_err("it is newer");
        assert!(refused.to_string().contains("format 99, newer than"), "{refused}");
        assert!(SqliteStore::open(folder.path().join("no/such/folder")).is_err());
    }
}
