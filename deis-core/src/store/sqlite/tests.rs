//! What only this store does: a batch that the database refuses fails alone, and its file becomes short again.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{
    SqliteStore, schema,
    tally::Tally,
    writer::{Group, WriteJob, write_group},
};
use crate::port::{Batch, Edit, Expect, Key, Scan, Store as _, StoreError, StoreExt as _, Write};

fn put(key: &str, data: Vec<u8>) -> Edit {
    Edit { key: Key::new(key), expect: Expect::Absent, write: Write::Put(data.into()) }
}

#[tokio::test]
async fn a_batch_that_the_database_refuses_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deis.db");
    let store = SqliteStore::open(&path).unwrap();
    let mut connection = schema::connect(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON record WHEN new.key = 'a/bad'
             BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .unwrap();
    let (jobs, mut answers): (Vec<WriteJob>, Vec<_>) = ["good", "bad", "better"]
        .map(|key| {
            let (answer, receiver) = oneshot::channel();
            let edits = vec![put(&format!("a/before-{key}"), vec![1]), put(&format!("a/{key}"), vec![1])];
            (WriteJob { batch: Batch { edits }, answer }, receiver)
        })
        .into_iter()
        .unzip();
    let mut tally = Tally::load(&connection).unwrap();
    write_group(&mut connection, &mut tally, Group { jobs, ..Group::default() }, &store.cache);
    let mut answer = || answers.remove(0).try_recv().unwrap();
    let good = answer().unwrap();
    assert!(matches!(answer(), Err(StoreError::Unavailable(_))));
    assert!(answer().unwrap() > good);
    let kept = store.scan(&Scan::prefix("")).await.unwrap();
    let kept: Vec<&str> = kept.iter().map(|record| record.key.as_str()).collect();
    assert_eq!(kept, ["a/before-better", "a/before-good", "a/better", "a/good"]);
    assert_eq!(store.count("a/").await.unwrap(), 4);
}

#[tokio::test]
async fn a_long_count_is_kept_as_records_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deis.db");
    let kept = || {
        let connection = schema::connect(&path).unwrap();
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let mut all = connection.prepare("SELECT prefix, records FROM tally").unwrap();
        all.query_map([], row).unwrap().collect::<Result<Vec<(String, i64)>, _>>().unwrap()
    };
    let mut keys = (0..150).map(|n| format!("a/b/{n}")).collect::<Vec<_>>();
    {
        let store = SqliteStore::open(&path).unwrap();
        let edits = keys.iter().map(|key| put(key, vec![1])).chain([put("a/c/0", vec![1])]).collect();
        store.commit(Batch { edits }).await.unwrap();
        assert_eq!((store.count("a/b/").await.unwrap(), store.count("a/c/").await.unwrap()), (150, 1));
        let begun = Instant::now();
        while kept().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the number is not kept");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(kept(), [("a/b/".to_owned(), 150)]);
    }
    // Another process keeps it too.
    let store = SqliteStore::open(&path).unwrap();
    store.commit(Batch { edits: vec![put("a/b/last", vec![1])] }).await.unwrap();
    keys.push("a/b/last".to_owned());
    assert_eq!(store.count("a/b/").await.unwrap(), 151);
    let stale = Batch { edits: vec![put("a/b/more", vec![1]), put("a/b/0", vec![1])] };
    store.commit(stale).await.unwrap_err();
    for left in (0..keys.len() as u64).rev() {
        let key = Key::new(keys.pop().unwrap());
        let edit = Edit { key, expect: Expect::Present, write: Write::Delete };
        store.commit(Batch { edits: vec![edit] }).await.unwrap();
        assert_eq!(store.count("a/b/").await.unwrap(), left);
    }
    assert_eq!(kept(), []);
}

#[tokio::test]
async fn the_file_becomes_short_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deis.db");
    let store = SqliteStore::open(&path).unwrap();
    let size = || std::fs::metadata(&path).unwrap().len();
    let mut revisions = Vec::new();
    for n in 0..8 {
        let batch = Batch { edits: vec![put(&format!("big/{n}"), vec![b'x'; 4 << 20])] };
        revisions.push(store.commit(batch).await.unwrap());
    }
    assert!(size() > 16 << 20, "{}", size());
    let gone = revisions.into_iter().enumerate().map(|(n, revision)| Edit {
        key: Key::new(format!("big/{n}")),
        expect: Expect::At(revision),
        write: Write::Delete,
    });
    store.commit(Batch { edits: gone.collect() }).await.unwrap();
    let begun = Instant::now();
    while size() > 4 << 20 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it still has {} bytes", size());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
