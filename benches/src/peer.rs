//! The peer: SQLite itself, one row and one transaction at a time, in a process of its own.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};

use crate::{Result, load::Sample};

/// Rows that it holds.
const ROWS: u32 = 1000;

/// What it does over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Read one row.
    Select,
    /// Write one row, durable before the next.
    Commit,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Commit => "commit",
        }
    }
}

/// Runs the peer for a window of time.
pub(crate) fn measure(kind: Kind, window: Duration) -> Result<Sample> {
    let output = Command::new(std::env::current_exe()?)
        .args(["peer", kind.name(), &window.as_millis().to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [window, cpu, took @ ..] = &numbers[..] else { return Err("the peer said nothing".into()) };
    let took = took.iter().map(|nanos| Duration::from_nanos(*nanos)).collect();
    Ok(Sample { took, window: Duration::from_micros(*window), cpu: Duration::from_micros(*cpu) })
}

/// What the peer's process does: it prints its window and processor time in microseconds, and a sorted thousand of its
/// operations in nanoseconds, each as often as it stands for others.
pub(crate) fn main(args: &[String]) -> Result<()> {
    let [kind, millis] = args else { return Err("a peer needs a kind and a time".into()) };
    let window = Duration::from_millis(millis.parse()?);
    let folder = tempfile::tempdir()?;
    let database = Connection::open(folder.path().join("peer.db"))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch("CREATE TABLE row (id INTEGER PRIMARY KEY, data BLOB NOT NULL)")?;
    let data = vec![b'x'; 400];
    database.execute_batch("BEGIN")?;
    for id in 0..ROWS {
        database.execute("INSERT INTO row VALUES (?1, ?2)", params![id, data])?;
    }
    database.execute_batch("COMMIT")?;
    let mut select = database.prepare("SELECT data FROM row WHERE id = ?1")?;
    let mut update = database.prepare("UPDATE row SET data = ?2 WHERE id = ?1")?;
    let (mut fresh, mut took) = (data.clone(), Vec::new());
    let (begun, cpu) = (Instant::now(), own_cpu()?);
    while begun.elapsed() < window {
        let id = u32::try_from(took.len())? % ROWS;
        let one = Instant::now();
        if kind == Kind::Commit.name() {
            // SQLite writes nothing for a row that stays as it was.
            fresh[..4].copy_from_slice(&u32::try_from(took.len())?.to_le_bytes());
            update.execute(params![id, fresh])?;
        } else {
            let found: Vec<u8> = select.query_row([id], |row| row.get(0))?;
            if found.len() != data.len() {
                return Err("a row is damaged".into());
            }
        }
        took.push(one.elapsed().as_nanos());
    }
    let (window, cpu) = (begun.elapsed().as_micros(), own_cpu()?.saturating_sub(cpu));
    took.sort_unstable();
    let text: Vec<String> = took.iter().map(ToString::to_string).collect();
    println!("{window} {} {}", cpu.as_micros(), text.join(" "));
    Ok(())
}

fn own_cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanos = stat.split_whitespace().next().ok_or("no time is told")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}
