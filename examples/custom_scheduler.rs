//! A scheduler of your own: here one that says what it is told and hands it on – and passes the public suite.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deis_core::{
    Digest,
    conformance::scheduler::{self as suite, SchedulerSubject},
    local::{LocalOptions, LocalScheduler, shim, unpacked_at},
    model::{AppRef, Artifact, InstanceName, Observation, Workload},
    port::{Scheduler, SchedulerError},
};
use deis_examples::Result;

/// Wraps any scheduler.
#[derive(Debug)]
struct Talkative<S>(S);

#[async_trait]
impl<S: Scheduler> Scheduler for Talkative<S> {
    async fn apply(&self, workload: &Workload) -> std::result::Result<(), SchedulerError> {
        println!("apply generation {} of {}", workload.generation, workload.app);
        self.0.apply(workload).await
    }

    async fn observe(&self, app: &AppRef) -> std::result::Result<Observation, SchedulerError> {
        self.0.observe(app).await
    }

    async fn evict(&self, app: &AppRef, names: &[InstanceName]) -> std::result::Result<(), SchedulerError> {
        println!("evict {} of {app}", names.len());
        self.0.evict(app, names).await
    }

    async fn remove(&self, app: &AppRef) -> std::result::Result<(), SchedulerError> {
        println!("remove {app}");
        self.0.remove(app).await
    }

    async fn apps(&self) -> std::result::Result<Vec<AppRef>, SchedulerError> {
        self.0.apps().await
    }
}

fn main() -> Result<()> {
    shim::run_if_asked();
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let files = folder.path().join("app");
    tokio::fs::create_dir(&files).await?;
    tokio::fs::write(files.join("index.html"), "hello\n").await?;
    macro_rules! cases {
        ($($case:ident)*) => { $(
            let options = LocalOptions::new(folder.path().join(stringify!($case)), unpacked_at(&files));
            let scheduler = Arc::new(Talkative(LocalScheduler::open(options).await?));
            suite::$case(SchedulerSubject {
                scheduler: Arc::clone(&scheduler) as _,
                prefix: "suite-".to_owned(),
                artifact: Artifact::Slug { digest: Digest::of(b"any") },
                serves: "exec python3 -m http.server $PORT".to_owned(),
                ends: "exit 3".to_owned(),
                idles: "exec sleep 600".to_owned(),
                flaps: "while :; do timeout 0.8 python3 -m http.server $PORT; sleep 0.8; done".to_owned(),
                patience: Duration::from_secs(20),
            })
            .await;
            scheduler.0.stop_all().await;
            println!("passed: {}", stringify!($case));
        )* };
    }
    deis_core::scheduler_cases!(cases;);
    Ok(())
}
