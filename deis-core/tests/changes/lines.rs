//! The platform's lines in the logs of apps: how long one that cannot be written is tried, and what that costs others.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use deis_core::{
    AppHandle, AppName,
    logs::RingLogs,
    model::{AppRef, AppUid, LogLine, LogQuery},
    port::{LogError, LogStore, LogStream},
    state::{events::EventCursor, keys, record::get},
};
use futures_util::StreamExt as _;

use super::fixture::{Fixture, OneLineRunner, RELEASE, build, config, session};

/// Keeps lines in memory, and refuses those of some apps.
#[derive(Debug, Default)]
struct Refusing {
    kept: RingLogs,
    refused: Mutex<BTreeSet<AppUid>>,
    /// How often it was asked to write nothing.
    idle: AtomicUsize,
}

#[async_trait]
impl LogStore for Refusing {
    async fn append(&self, app: &AppRef, lines: Vec<LogLine>) -> Result<(), LogError> {
        self.idle.fetch_add(usize::from(lines.is_empty()), SeqCst);
        if self.refused.lock().unwrap().contains(&app.uid) {
            return Err(LogError::Unavailable("its disk is full".into()));
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

impl Refusing {
    /// Whether the app has a line that ends like this.
    async fn has(&self, app: &AppHandle, end: &str) -> bool {
        let lines = self.tail(&app.app().reference(), &LogQuery::default()).await.unwrap();
        lines.any(|line| std::future::ready(line.unwrap().text.ends_with(end))).await
    }

    fn refuse(&self, app: &AppHandle) {
        self.refused.lock().unwrap().insert(app.app().uid);
    }

    fn take_again(&self) {
        self.refused.lock().unwrap().clear();
    }
}

async fn pause(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_line_that_cannot_be_written_is_tried_for_a_minute_and_holds_up_no_other_app() {
    let fixture = Fixture::new();
    let logs = Arc::new(Refusing::default());
    let platform = fixture.builder().logs(Arc::clone(&logs) as _).build().unwrap();
    let workers = platform.start();
    pause(1).await;
    let create = async |name: &str| {
        let name = AppName::new(name).unwrap();
        session(&platform).create_app(name.clone()).await.unwrap();
        session(&platform).app(&name).await.unwrap()
    };
    let (full, other) = (create("full").await, create("other").await);
    pause(5).await;

    // Half a minute: nothing is lost, and nobody else waits.
    logs.refuse(&full);
    full.config_set(config("A", "1")).await.unwrap();
    pause(10).await;
    other.config_set(config("A", "1")).await.unwrap();
    pause(3).await;
    assert!(logs.has(&other, "added A").await, "a log that refuses holds up another app's");
    pause(17).await;
    logs.take_again();
    pause(5).await;
    assert!(logs.has(&full, "added A").await, "it is given up too soon");

    // More than a minute: it is given up, and what comes later is written.
    logs.refuse(&full);
    full.config_set(config("B", "1")).await.unwrap();
    pause(300).await;
    logs.take_again();
    full.config_set(config("C", "1")).await.unwrap();
    pause(5).await;
    assert!(logs.has(&full, "added C").await);
    assert!(!logs.has(&full, "added B").await, "it is tried for ever");

    // The next one has a minute of its own.
    logs.refuse(&full);
    full.config_set(config("D", "1")).await.unwrap();
    pause(5).await;
    logs.take_again();
    pause(5).await;
    assert!(logs.has(&full, "added D").await, "it has no time of its own");
    workers.stop().await;
}

#[tokio::test(start_paused = true)]
async fn how_far_the_lines_are_is_recorded_now_and_then() {
    let fixture = Fixture::new();
    let platform = fixture.builder().build().unwrap();
    let workers = platform.start();
    pause(1).await;
    let recorded = async || get::<EventCursor>(&*fixture.store, &keys::announced()).await.unwrap().unwrap();
    let name = AppName::new("other").unwrap();
    session(&platform).create_app(name.clone()).await.unwrap();
    let other = session(&platform).app(&name).await.unwrap();
    pause(10).await;
    let before = recorded().await;
    pause(60).await;
    assert_eq!(recorded().await.revision, before.revision, "nothing has happened since");
    other.config_set(config("A", "1")).await.unwrap();
    pause(1).await;
    assert_eq!(recorded().await.revision, before.revision, "not at each event");
    pause(2).await;
    assert!(recorded().await.revision > before.revision);
    workers.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_writes_what_a_task_prints_ends_with_the_task() {
    let fixture = Fixture::new();
    let logs = Arc::new(Refusing::default());
    let runner = OneLineRunner::new(&fixture, false);
    let platform = fixture.builder().logs(Arc::clone(&logs) as _).runner(runner).build().unwrap();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", RELEASE)).await;
    let workers = platform.start();
    pause(5).await;
    assert!(logs.has(&blog, "migrating").await);
    assert_eq!(logs.idle.load(SeqCst), 0, "it goes on writing nothing");
    workers.stop().await;
}
