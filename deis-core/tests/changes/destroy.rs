//! Destroying an app of any size.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use async_trait::async_trait;
use deis_core::{
    AppName, AppRef, DomainName, LogLine, LogQuery, Progress,
    port::{LogError, LogStore, LogStream, Scan, StoreExt as _},
    state::keys,
};

use super::bench::{Bench, WEB, ann, app, build, name, session, web};

#[tokio::test]
async fn an_app_with_many_domains_goes_in_small_batches_and_leaves_nothing() {
    let bench = Bench::new();
    let platform = bench.moody();
    let blog = bench.create(&platform).await;
    for n in 0..450 {
        blog.domain_add(DomainName::new(format!("n{n}.example.com")).unwrap()).await.unwrap();
    }
    let push = deis_core::Push {
        id: uuid::Uuid::new_v4(),
        updates: Vec::new(),
        sha: String::new(),
        by: super::bench::ann(),
        since: deis_core::Timestamp(1),
        build_run: None,
        owner: None,
        renewed: deis_core::Timestamp(1),
        release: None,
    };
    let push = blog.push_begin(push, true).await.unwrap();
    blog.push_close(push.id, &deis_core::PushOutcome::Overtaken).await.unwrap();
    bench.store.largest.store(0, SeqCst);
    blog.destroy().await.unwrap();
    bench.drive(&platform).await;
    let largest = bench.store.largest.load(SeqCst);
    assert!(largest <= 501, "a batch of {largest} edits");
    let left = bench.store.scan(&Scan::prefix("")).await.unwrap();
    let of_app = left
        .iter()
        .map(|r| r.key.as_str())
        .filter(|key| !key.starts_with("event/-/") && !key.starts_with("gone/"));
    assert_eq!(of_app.collect::<Vec<_>>(), Vec::<&str>::new());
    // The name begins anew.
    session(&platform).create_app(name()).await.unwrap();
    assert_eq!(app(&platform).await.domains().await.unwrap().len(), 1);
}

/// A log store that keeps nothing and knows what it was told to forget.
#[derive(Debug, Default)]
struct Forgetting {
    away: AtomicBool,
    forgotten: Mutex<Vec<AppRef>>,
}

#[async_trait]
impl LogStore for Forgetting {
    async fn append(&self, _: &AppRef, _: Vec<LogLine>) -> Result<(), LogError> {
        Ok(())
    }

    async fn tail(&self, _: &AppRef, _: &LogQuery) -> Result<LogStream, LogError> {
        Err(LogError::Unavailable("nobody reads it back".into()))
    }

    async fn forget(&self, app: &AppRef) -> Result<(), LogError> {
        if self.away.load(SeqCst) {
            return Err(LogError::Unavailable("it is away".into()));
        }
        self.forgotten.lock().unwrap().push(app.clone());
        Ok(())
    }
}

#[tokio::test]
async fn an_app_is_on_record_until_nothing_of_it_is_left() {
    let bench = Bench::new();
    let logs = Arc::new(Forgetting::default());
    logs.away.store(true, SeqCst);
    let platform = bench.builder().logs(Arc::clone(&logs) as _).build().unwrap();
    let blog = bench.create(&platform).await;
    let reference = blog.app().reference();
    bench.deploy(&platform, &blog, build("one", WEB)).await;
    // A release command under way needs its time to end, and so does an instance.
    blog.deploy(build("two", &[("web", "serve"), ("release", "release-slow")])).await.unwrap();
    while bench.world.release_runs().is_empty() {
        platform.pass(&name()).await.unwrap();
    }
    blog.destroy().await.unwrap();
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Waiting);
    assert_eq!(bench.world.ready(&name(), &web()), 1, "a command may need what serves");
    let mut waits = 0;
    while platform.pass(&name()).await.unwrap() == Progress::Waiting {
        bench.world.tick();
        waits += 1;
        assert!(waits < 100, "it never goes");
    }
    assert!(waits > 1, "{waits}");
    assert!(bench.world.instances(&name()).is_empty());
    // Nothing runs, and its lines are still there.
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Blind);
    assert_eq!(bench.state().await.app.value.uid, reference.uid);
    logs.away.store(false, SeqCst);
    bench.drive(&platform).await;
    assert!(logs.forgotten.lock().unwrap().contains(&reference));
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Gone);
}

#[tokio::test]
async fn an_app_whose_name_begins_the_same_is_none_of_it() {
    let bench = Bench::new();
    let platform = bench.platform();
    let blog = bench.create(&platform).await;
    let longer = AppName::new("blog-two").unwrap();
    session(&platform).create_app(longer.clone()).await.unwrap();
    blog.destroy().await.unwrap();
    bench.drive(&platform).await;
    let grants = bench.store.scan(&Scan::prefix(keys::user_apps(&ann()))).await.unwrap();
    let grants: Vec<_> = grants.into_iter().map(|record| record.key).collect();
    assert_eq!(grants, [keys::user_app(&ann(), &longer)]);
    session(&platform).app(&longer).await.unwrap();
    session(&platform).app(&name()).await.unwrap_err();
}
