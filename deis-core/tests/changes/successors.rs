//! What a new process takes over of a rollout that it finds under way: the lease of its artifact, and the output of its
//! release command.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use deis_core::{
    port::{Prepared, Preparer},
    service::Progress,
};

use super::{
    fixture::{Fixture, OneLineRunner, RELEASE, WEB, build, name},
    workers::{line, lines},
};

/// What somebody must not collect, as long as it is there.
struct Lease(Arc<AtomicUsize>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// A preparer, and how many of its leases are held.
fn leasing() -> (Preparer, Arc<AtomicUsize>) {
    let held = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&held);
    let preparer: Preparer = Arc::new(move |_, _| {
        count.fetch_add(1, SeqCst);
        let lease = Prepared::holding(Lease(Arc::clone(&count)));
        Box::pin(std::future::ready(Ok(lease)))
    });
    (preparer, held)
}

#[tokio::test]
async fn a_rollout_that_is_under_way_holds_its_artifact_again() {
    for (phase, command) in [("rolling", "serve"), ("routing", "serve"), ("reverting", "crash")] {
        let fixture = Fixture::new();
        let (preparer, held) = leasing();
        let process = || fixture.builder().preparer(Arc::clone(&preparer)).build().unwrap();
        let first = process();
        let blog = fixture.create(&first).await;
        fixture.deploy(&first, &blog, build("one", WEB)).await;
        blog.deploy(build("two", &[("web", command)])).await.unwrap();
        fixture.drive_to(&first, phase, false).await;
        assert_eq!(held.load(SeqCst), 1, "{phase}: the first process holds it");
        drop((first, blog));
        assert_eq!(held.load(SeqCst), 0, "{phase}: that process has ended");
        let second = process();
        second.pass(&name()).await.unwrap();
        assert_eq!(held.load(SeqCst), 1, "{phase}: its successor holds it");
        assert_eq!(fixture.phase().await.name(), phase);
        fixture.drive(&second).await;
        assert!(fixture.phase().await.is_terminal());
        assert_eq!(held.load(SeqCst), 0, "{phase}: the rollout has ended");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_had_holds_up_no_rollout() {
    let fixture = Fixture::new();
    let first = fixture.platform();
    let blog = fixture.create(&first).await;
    fixture.deploy(&first, &blog, build("one", WEB)).await;
    blog.deploy(build("two", WEB)).await.unwrap();
    fixture.drive_to(&first, "rolling", false).await;
    drop((first, blog));
    let silent: Preparer = Arc::new(|_, _| Box::pin(std::future::pending()));
    let second = fixture.builder().preparer(silent).build().unwrap();
    let drive = fixture.drive(&second);
    tokio::time::timeout(Duration::from_secs(60), drive).await.expect("it is not waited for");
    assert_eq!(fixture.phase().await.name(), "succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_release_command_that_is_found_running_is_followed_once() {
    let fixture = Fixture::new();
    let runner = OneLineRunner::new(&fixture, false);
    let first = fixture.builder().runner(Arc::clone(&runner) as _).build().unwrap();
    let blog = fixture.create(&first).await;
    blog.deploy(build("one", RELEASE)).await.unwrap();
    while runner.asked.lock().unwrap().is_empty() {
        assert_eq!(first.pass(&name()).await.unwrap(), Progress::Advanced);
    }
    drop((first, blog));
    let (logs, mut written) = lines();
    let second = fixture.builder().runner(runner).logs(logs).build().unwrap();
    // It sees more than once that the command runs, after it has taken the lease of its artifact.
    for expected in [Progress::Advanced, Progress::Waiting, Progress::Waiting] {
        assert_eq!(second.pass(&name()).await.unwrap(), expected);
    }
    fixture.drive(&second).await;
    assert_eq!(fixture.phase().await.name(), "succeeded");
    let workers = second.start();
    line(&mut written, "migrating").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    workers.stop().await;
    drop(second);
    let mut others = Vec::new();
    while let Ok(text) = written.try_recv() {
        others.push(text);
    }
    assert!(!others.iter().any(|text| text.contains("migrating")), "{others:?}");
}
