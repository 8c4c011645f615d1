//! What the examples share: a platform of this machine in a temporary folder, and an app to run on it.

use std::{path::Path, sync::Arc, time::SystemTime};

use deis_core::{
    Actor, AppHandle, AppName, BuildSpec, Digest, Platform, ProcessType, Timestamp, Username, Workers,
    local::{LocalOptions, LocalRunner, LocalScheduler, preparer, unpacked_at},
    logs::FileLogs,
    port::Wake,
    routing::RouteTable,
    store::MemoryStore,
};

/// Any error will do for an example.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A running platform that keeps everything below `folder`.
pub async fn platform(folder: &Path) -> Result<(Platform, Workers)> {
    let files = folder.join("app");
    tokio::fs::create_dir(&files).await?;
    let wake = Wake::default();
    let options = LocalOptions::new(folder.join("run"), unpacked_at(&files)).with_wake(wake.clone());
    let platform = Platform::builder()
        .store(Arc::new(MemoryStore::new()))
        .scheduler(Arc::new(LocalScheduler::open(options.clone()).await?))
        .runner(Arc::new(LocalRunner::open(options).await?))
        .router(Arc::new(RouteTable::new(None)))
        .logs(Arc::new(FileLogs::new(folder.join("run"))))
        .preparer(preparer(unpacked_at(&files)))
        .wake(wake)
        .clock(Arc::new(now))
        .build()?;
    let workers = platform.start();
    Ok((platform, workers))
}

/// An app called `blog`.
pub async fn create_app(platform: &Platform) -> Result<AppHandle> {
    let session = platform.session(Actor::System { name: Username::new("ann")? });
    let app = session.create_app(AppName::new("blog")?).await?;
    Ok(session.app(&app.name).await?)
}

/// A build whose worker runs until it is stopped.
pub fn worker() -> Result<BuildSpec> {
    let processes = [(ProcessType::new("worker")?, "exec sleep 600".to_owned())];
    Ok(BuildSpec::slug(Digest::of(b"worker"), processes.into()))
}

/// The clock of the examples.
#[allow(clippy::disallowed_methods, reason = "somebody must ask for the time, and here it is the program")]
pub fn now() -> Timestamp {
    SystemTime::now().into()
}

/// The README's program, compiled as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
