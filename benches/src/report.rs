//! What is printed: the machine, a row for each bench, memory and starts.

use std::{fmt::Write as _, fs, time::Duration};

use crate::{Result, daemon::Daemon, load::Sample, peer};

pub(crate) struct Report {
    text: String,
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// One bench beside its peer.
pub(crate) struct Row {
    name: String,
    clients: usize,
    goal: &'static str,
    peer: &'static str,
    rate: Spread,
    p50: Spread,
    p99: Spread,
    cpu: Spread,
    peer_rate: Spread,
    peer_cpu: Spread,
}

/// Median, least and most of some rounds.
#[derive(Clone, Copy)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(rounds: impl Iterator<Item = f64>) -> Self {
        let mut all: Vec<f64> = rounds.collect();
        all.sort_by(f64::total_cmp);
        let at = |n: usize| all.get(n).copied().unwrap_or(f64::NAN);
        Self { median: at(all.len() / 2), least: at(0), most: at(all.len().saturating_sub(1)) }
    }

    fn show(self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.least, self.most)
    }
}

impl Row {
    pub(crate) fn new(
        name: &str,
        clients: usize,
        goal: &'static str,
        kind: peer::Kind,
        ours: &[Sample],
        peers: &[Sample],
    ) -> Self {
        Self {
            name: name.to_owned(),
            clients,
            goal,
            peer: kind.name(),
            rate: Spread::of(ours.iter().map(Sample::per_second)),
            p50: Spread::of(ours.iter().map(|s| s.percentile(0.5))),
            p99: Spread::of(ours.iter().map(|s| s.percentile(0.99))),
            cpu: Spread::of(ours.iter().map(Sample::cpu_each)),
            peer_rate: Spread::of(peers.iter().map(Sample::per_second)),
            peer_cpu: Spread::of(peers.iter().map(Sample::cpu_each)),
        }
    }
}

impl Report {
    pub(crate) fn begin(rounds: usize, window: Duration) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let mut text = String::from("# API bench\n\n");
        let _ = writeln!(text, "* Machine: {cores} cores,{}", model.trim_start_matches(['\t', ' ', ':']));
        let _ = writeln!(text, "* Kernel: {}", read("/proc/sys/kernel/osrelease").trim());
        let _ = writeln!(text, "* Load at the start: {}", read("/proc/loadavg").trim());
        let _ = writeln!(text, "* deis {}, SQLite {}", env!("CARGO_PKG_VERSION"), rusqlite::version());
        let _ = writeln!(
            text,
            "* {rounds} rounds of {window:?} each, after one that does not count, the peer's and ours in turn"
        );
        let _ =
            writeln!(text, "* Medians (least–most). CPU is the daemon's, user and system, for one operation");
        let _ = writeln!(
            text,
            "* Peer: SQLite in a process of its own, one row and one durable transaction at a time, c=1"
        );
        Self { text, rows: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Time to the first answer, and memory after two seconds of rest.
    pub(crate) async fn starts(&mut self, daemon: &mut Daemon, rounds: usize) -> Result<()> {
        let (mut ready, mut memory) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ready.push(daemon.restart().await?.as_secs_f64() * 1000.0);
            tokio::time::sleep(Duration::from_secs(2)).await;
            #[allow(clippy::cast_precision_loss, reason = "memory in KiB has less than 52 bits")]
            memory.push(daemon.memory()? as f64 / 1000.0 * 1.024);
        }
        let (ready, memory) = (Spread::of(ready.into_iter()), Spread::of(memory.into_iter()));
        self.note(format!(
            "1,000 apps: {} ms to the first answer (≤ 110), {} MB at rest (≤ 42), of {rounds} starts.",
            ready.show(0),
            memory.show(1)
        ));
        Ok(())
    }

    pub(crate) fn print(mut self) {
        let text = &mut self.text;
        let _ = writeln!(
            text,
            "\n| request | c | ours /s | p50 ms | p99 ms | CPU µs | peer | peer /s | peer CPU µs | ours ÷ peer | interim figure |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
        );
        for row in &self.rows {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.3} | {} |",
                row.name,
                row.clients,
                row.rate.show(0),
                row.p50.show(2),
                row.p99.show(2),
                row.cpu.show(0),
                row.peer,
                row.peer_rate.show(0),
                row.peer_cpu.show(1),
                row.rate.median / row.peer_rate.median,
                row.goal,
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{note}");
        }
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let _ = writeln!(text, "\nLoad at the end: {}", load.trim());
        print!("{text}");
    }
}
