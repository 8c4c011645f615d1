//! The API's bench: reads, durable releases, memory and start of the daemon, beside SQLite's own single-row
//! transactions. Prints a report in Markdown.
//!
//! `cargo run --release -p deis-benches` measures for some minutes; `-- --quick` shows whether it works. Everything
//! is this one executable: under the name `deisd` it is the daemon, with `peer` the database that it is compared with.

#![allow(clippy::disallowed_methods, reason = "a bench asks for the time, and may block")]
#![allow(clippy::future_not_send, reason = "one thread asks for everything")]

mod daemon;
mod load;
mod peer;
mod report;

use std::{error::Error, ffi::OsString, path::Path, process::ExitCode, time::Duration};

use daemon::Daemon;
use load::{Client, Request, Sample};
use report::{Report, Row};

/// Result of everything here.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Longest answer of a list and of a release, in rows.
const ALL: usize = 10_000;
/// Apps that writers take in turn.
const WRITTEN: usize = 64;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let called = args.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
    if called.to_string_lossy().starts_with("deis-benches") {
        let words: Vec<String> = args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
        return finish(match words.first().map(String::as_str) {
            Some("peer") => peer::main(&words[1..]),
            Some("--quick") => {
                measure(Plan { rounds: 1, window: Duration::from_millis(500), sizes: &[100, 1000] })
            }
            None => measure(Plan { rounds: 5, window: Duration::from_secs(2), sizes: &[100, 1000, ALL] }),
            Some(other) => Err(format!("{other:?} is no argument of this bench").into()),
        });
    }
    deis_daemon::main(args)
}

fn finish(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deis-benches: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Plan {
    rounds: usize,
    window: Duration,
    sizes: &'static [usize],
}

/// A bench: its name, how many ask at once, what they ask for, the interim figure.
struct Measurement<'a> {
    name: String,
    clients: usize,
    request: Box<dyn Fn(usize) -> Request + 'a>,
    goal: &'static str,
}

fn bench<'a>(
    name: impl Into<String>,
    clients: usize,
    goal: &'static str,
    request: impl Fn(usize) -> Request + 'a,
) -> Measurement<'a> {
    Measurement { name: name.into(), clients, request: Box::new(request), goal }
}

fn measure(plan: Plan) -> Result<()> {
    // One thread asks, as `wrk -t1` does.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut report = Report::begin(plan.rounds, plan.window);
        for apps in plan.sizes {
            size(plan, *apps, &mut report).await?;
        }
        report.print();
        Ok(())
    })
}

/// Everything with so many apps.
async fn size(plan: Plan, apps: usize, report: &mut Report) -> Result<()> {
    let mut daemon = Daemon::start()?;
    daemon.wait().await?;
    let client = Client::register(daemon.address()).await?;
    eprintln!("{apps} apps: creating them");
    let create = |n: usize| Request::post("/v2/apps/", format!(r#"{{"id":"app-{n:05}"}}"#));
    client.each(8, apps, create).await?;
    let list = |limit: usize| move |_: usize| Request::get(format!("/v2/apps/?limit={limit}"));
    let one = format!("/v2/apps/app-{:05}/", apps / 2);
    let mut benches = vec![
        bench(format!("GET one app of {apps}"), 1, "", |_| Request::get(&*one)),
        bench(format!("GET one app of {apps}"), 8, "≥ 12,000/s", |_| Request::get(&*one)),
        bench(format!("GET first page of 100 of {apps} apps"), 1, "of 10,000 ≤ 2 × of 100", list(100)),
    ];
    if apps <= 1000 {
        let goal = if apps == 1000 { "p50 ≤ 5 ms" } else { "" };
        benches.push(bench(format!("GET list of {apps} apps"), 1, goal, list(apps)));
    }
    for bench in &benches {
        run(plan, &daemon, &client, bench, peer::Kind::Select, report).await?;
    }
    if apps == 1000 {
        writes(plan, &daemon, &client, report).await?;
        drop(client);
        report.starts(&mut daemon, plan.rounds).await?;
    }
    daemon.stop()
}

/// Releases: made one after the other and at once, and listed.
async fn writes(plan: Plan, daemon: &Daemon, client: &Client, report: &mut Report) -> Result<()> {
    let config = |app: usize, n: usize| {
        Request::post(
            format!("/v2/apps/app-{app:05}/config/"),
            format!(r#"{{"values":{{"COUNTER":"{}-{n}"}}}}"#, std::process::id()),
        )
    };
    // App 900 gets its history before anything is measured: releases 1 to 1,000.
    client.each(1, 999, |n| config(900, n)).await?;
    let releases =
        |limit: usize| move |_: usize| Request::get(format!("/v2/apps/app-00900/releases/?limit={limit}"));
    let round = std::cell::Cell::new(0);
    let next = || round.replace(round.get() + 1);
    for (bench, kind) in [
        (bench("GET list of 1000 releases", 1, "p50 ≤ 6 ms", releases(1000)), peer::Kind::Select),
        (bench("GET first page of 100 of 1000 releases", 8, "", releases(100)), peer::Kind::Select),
        (bench("POST config, one app", 1, "", |_| config(1, next())), peer::Kind::Commit),
        (
            bench("POST config, 64 apps", 8, "≥ 2,500/s", |_| {
                let n = next();
                config(n % WRITTEN, n)
            }),
            peer::Kind::Commit,
        ),
        (bench("POST config, one app, 8 writers", 8, "", |_| config(100, next())), peer::Kind::Commit),
    ] {
        run(plan, daemon, client, &bench, kind, report).await?;
    }
    // Nothing that was acknowledged is lost: the versions of the contended app have no gap.
    let listed = client.json(&Request::get("/v2/apps/app-00100/releases/?limit=1000000")).await?;
    let count = listed["count"].as_u64().unwrap_or(0);
    let versions: Vec<u64> =
        listed["results"].as_array().into_iter().flatten().filter_map(|r| r["version"].as_u64()).collect();
    if versions.iter().copied().ne((1..=count).rev()) {
        return Err("the versions of the app with eight writers have gaps".into());
    }
    report.note(format!("{count} releases of the app with 8 writers, without a gap."));
    Ok(())
}

/// Rounds of the peer and of ours in turn; the first of each does not count.
async fn run(
    plan: Plan,
    daemon: &Daemon,
    client: &Client,
    bench: &Measurement<'_>,
    kind: peer::Kind,
    report: &mut Report,
) -> Result<()> {
    let (mut ours, mut peers): (Vec<Sample>, Vec<Sample>) = (Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let peer = peer::measure(kind, plan.window)?;
        let before = daemon.cpu()?;
        let mut sample = client.load(bench.clients, plan.window, &bench.request).await?;
        sample.cpu = daemon.cpu()?.saturating_sub(before);
        if round > 0 {
            peers.push(peer);
            ours.push(sample);
        }
    }
    eprintln!("{} at c={}: measured", bench.name, bench.clients);
    report.add(Row::new(&bench.name, bench.clients, bench.goal, kind, &ours, &peers));
    Ok(())
}
