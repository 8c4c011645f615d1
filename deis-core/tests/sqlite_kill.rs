//! What the SQLite store acknowledged is there after a SIGKILL; what it did not acknowledge is there whole or not at all.
//!
//! This executable is also the process that writes and is killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]
#![allow(clippy::disallowed_methods, reason = "a test may block, and has nobody to take the time from")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    thread::sleep,
    time::Duration,
};

use deis_core::{
    port::{Batch, Edit, Expect, Key, Scan, Store as _, StoreExt as _, Write},
    store::SqliteStore,
};

/// Tasks that write at the same time: their batches share transactions.
const WRITERS: usize = 8;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, path] = &arguments[..]
        && mode == "write-until-killed"
    {
        runtime.block_on(write(path));
    }
    let name = "acknowledged_batches_survive_a_kill";
    if arguments.iter().filter(|a| !a.starts_with('-')).any(|word| !name.contains(word.as_str())) {
        return ExitCode::SUCCESS;
    }
    let kept: usize =
        [5, 20, 40, 80, 150].into_iter().map(|pause| runtime.block_on(killed_after(pause))).sum();
    assert!(kept > 0, "nothing was acknowledged before any kill");
    println!("test {name} ... ok ({kept} acknowledged batches found again)");
    ExitCode::SUCCESS
}

fn put(key: String) -> Edit {
    Edit { key: Key::new(key), expect: Expect::Absent, write: Write::Put(vec![b'x'; 2000].into()) }
}

/// Writes pairs of records and says which are acknowledged, until it is killed.
async fn write(path: &str) -> ! {
    let store = Arc::new(SqliteStore::open(path).unwrap());
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in 0.. {
                let name = format!("{writer}/{number}");
                let edits = vec![put(format!("left/{name}")), put(format!("right/{name}"))];
                store.commit(Batch { edits }).await.unwrap();
                println!("{name}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        let _ = writer.await;
    }
    panic!("it was not killed");
}

/// Returns how many acknowledged batches there were; all are found.
async fn killed_after(pause: u64) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deis.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("write-until-killed")
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    sleep(Duration::from_millis(pause));
    child.kill().unwrap();
    child.wait().unwrap();
    // A line that was cut off by the kill was not read by anybody.
    let mut acknowledged = vec![first.trim().to_owned()];
    acknowledged.extend(said.lines().map_while(Result::ok).filter(|line| line.contains('/')));
    acknowledged.pop();

    let store = SqliteStore::open(&path).unwrap();
    let found = async |prefix: &str| -> Vec<String> {
        let records = store.scan(&Scan::prefix(prefix)).await.unwrap();
        assert!(records.iter().all(|r| r.data.len() == 2000));
        records.iter().map(|r| r.key.as_str().strip_prefix(prefix).unwrap().to_owned()).collect()
    };
    let (left, right) = (found("left/").await, found("right/").await);
    assert_eq!(left, right, "a batch is there whole or not at all");
    for name in &acknowledged {
        assert!(left.contains(name), "{name} was acknowledged and is lost");
    }
    acknowledged.len()
}
