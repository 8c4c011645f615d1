//! The running reconciler.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use deis_core::{
    AppName, ChangeOutcome,
    logs::RingLogs,
    model::{AppRef, LogLine, LogQuery},
    port::{LogError, LogStore, LogStream},
};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::fixture::{
    Fixture, OneLineRunner, RELEASE, RefusingScheduler, WEB, app, build, config, name, seconds, session, web,
};

/// Sends on what is written.
#[derive(Debug)]
pub(super) struct Lines(mpsc::UnboundedSender<String>);

#[async_trait]
impl LogStore for Lines {
    async fn append(&self, _: &AppRef, lines: Vec<LogLine>) -> Result<(), LogError> {
        for line in lines {
            let _ = self.0.send(line.text);
        }
        Ok(())
    }

    async fn tail(&self, _: &AppRef, _: &LogQuery) -> Result<LogStream, LogError> {
        Err(LogError::Unavailable("nobody reads it back".into()))
    }

    async fn forget(&self, _: &AppRef) -> Result<(), LogError> {
        Ok(())
    }
}

pub(super) fn lines() -> (Arc<Lines>, mpsc::UnboundedReceiver<String>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Arc::new(Lines(sender)), receiver)
}

/// The next line with this text in it; what comes before goes to `skipped`.
pub(super) async fn line(lines: &mut mpsc::UnboundedReceiver<String>, part: &str) -> Vec<String> {
    let mut skipped = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(600), lines.recv()).await;
        let next = next.unwrap_or_else(|_| panic!("{part:?} never comes; {skipped:?}")).unwrap();
        if next.contains(part) {
            return skipped;
        }
        skipped.push(next);
    }
}

#[tokio::test(start_paused = true)]
async fn apps_whose_back_end_is_away_keep_nobody_waiting() {
    let fixture = Fixture::new();
    let scheduler = Arc::new(RefusingScheduler {
        world: fixture.world.clone(),
        refused: Mutex::default(),
        away_for: "blind",
    });
    let platform = fixture.builder().scheduler(scheduler).build().unwrap();
    for n in 0..40 {
        let blind = AppName::new(format!("blind-{n}")).unwrap();
        session(&platform).create_app(blind.clone()).await.unwrap();
        session(&platform).app(&blind).await.unwrap().deploy(build("one", WEB)).await.unwrap();
    }
    let workers = platform.start();
    // By now all of them have been looked at.
    tokio::time::sleep(Duration::from_secs(30)).await;
    session(&platform).create_app(name()).await.unwrap();
    let blog = app(&platform).await;
    let change = blog.deploy(build("one", WEB)).await.unwrap();
    let world = fixture.world.clone();
    let time = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            world.tick();
        }
    });
    let end = tokio::time::timeout(Duration::from_secs(600), blog.wait(&change)).await;
    assert_eq!(end.expect("it gets its turn").unwrap(), ChangeOutcome::Done);
    assert_eq!(fixture.world.ready(&name(), &web()), 1);
    time.abort();
    workers.stop().await;
}

#[tokio::test(start_paused = true)]
async fn log_lines_go_on_where_the_process_before_ended() {
    let fixture = Fixture::new();
    let (logs, mut written) = lines();
    let first = fixture.builder().logs(Arc::clone(&logs) as _).build().unwrap();
    let workers = first.start();
    // The very first start writes what happens from then on.
    tokio::task::yield_now().await;
    seconds(1).await;
    session(&first).create_app(name()).await.unwrap();
    line(&mut written, "domain blog added").await;
    workers.stop().await;
    // Nobody writes lines now.
    app(&first).await.config_set(config("A", "1")).await.unwrap();
    let second = fixture.builder().logs(logs).build().unwrap();
    let workers = second.start();
    let skipped = line(&mut written, "ann added A").await;
    assert!(!skipped.iter().any(|text| text.contains("initial release")), "{skipped:?}");
    workers.stop().await;
}

#[tokio::test(start_paused = true)]
async fn log_lines_come_again_after_an_outage() {
    let fixture = Fixture::new();
    let (logs, mut written) = lines();
    let platform = fixture.builder().logs(logs).build().unwrap();
    let blog = fixture.create(&fixture.platform()).await;
    let workers = platform.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    fixture.store.down.store(true, SeqCst);
    blog.config_set(config("A", "1")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    fixture.store.down.store(false, SeqCst);
    line(&mut written, "ann added A").await;
    workers.stop().await;
}

#[tokio::test(start_paused = true)]
async fn passes_spawn_nothing_and_workers_write_what_tasks_print() {
    let fixture = Fixture::new();
    let (logs, mut written) = lines();
    let runner = OneLineRunner::new(&fixture, false);
    let platform = fixture.builder().logs(logs).runner(runner).build().unwrap();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", RELEASE)).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    let workers = platform.start();
    line(&mut written, "migrating").await;
    workers.stop().await;
}

/// Keeps lines in memory, and refuses as many appends as it is told to.
#[derive(Debug, Default)]
struct FailingLogs {
    kept: RingLogs,
    refuses: AtomicUsize,
}

#[async_trait]
impl LogStore for FailingLogs {
    async fn append(&self, app: &AppRef, lines: Vec<LogLine>) -> Result<(), LogError> {
        let less = |left: usize| left.checked_sub(1);
        if self.refuses.fetch_update(SeqCst, SeqCst, less).is_ok() {
            // Half of it was written: that must not be there twice later.
            let half = lines.len().div_ceil(2);
            self.kept.append(app, lines.into_iter().take(half).collect()).await?;
            return Err(LogError::Unavailable("the disk is full".into()));
        }
        self.kept.append(app, lines).await
    }

    async fn tail(&self, app: &AppRef, query: &LogQuery) -> Result<LogStream, LogError> {
        self.kept.tail(app, query).await
    }

    async fn forget(&self, app: &AppRef) -> Result<(), LogError> {
        self.kept.forget(app).await
    }
}

async fn pause(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

async fn texts(logs: &FailingLogs, app: &AppRef) -> Vec<String> {
    let lines = logs.tail(app, &LogQuery::default()).await.unwrap();
    lines.map(|line| line.unwrap().text).collect().await
}

#[tokio::test(start_paused = true)]
async fn no_line_is_lost_or_there_twice_when_a_log_refuses_or_the_process_is_killed() {
    let fixture = Fixture::new();
    let logs = Arc::new(FailingLogs::default());
    let first = fixture.builder().logs(Arc::clone(&logs) as _).build().unwrap();
    let workers = first.start();
    pause(1).await;
    logs.refuses.store(3, SeqCst);
    session(&first).create_app(name()).await.unwrap();
    let blog = app(&first).await;
    let reference = blog.app().reference();
    let other = AppName::new("other").unwrap();
    session(&first).create_app(other.clone()).await.unwrap();
    pause(10).await;
    let expected = ["appsettings", "config", "ann created initial release", "domain blog added"];
    let found = texts(&logs, &reference).await;
    assert!(
        found.len() == 4 && found.iter().zip(expected).all(|(text, part)| text.contains(part)),
        "{found:?}"
    );
    let other = session(&first).app(&other).await.unwrap().app().reference();
    assert_eq!(texts(&logs, &other).await.len(), 4, "a log that refuses holds up no other app's");

    // It ends before it can record how far it was, as when it is killed.
    blog.config_set(config("A", "1")).await.unwrap();
    pause(1).await;
    assert_eq!(texts(&logs, &reference).await.len(), 6);
    fixture.store.down.store(true, SeqCst);
    workers.stop().await;
    fixture.store.down.store(false, SeqCst);
    let second = fixture.builder().logs(Arc::clone(&logs) as _).build().unwrap();
    let workers = second.start();
    pause(10).await;
    workers.stop().await;
    let again = texts(&logs, &reference).await;
    assert_eq!(again.len(), 6, "{again:?}");
    assert_eq!(again[..4], found);
}
