//! Destroying an app of any size.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use async_trait::async_trait;
use deis_core::{
    AppName, DomainName, Error,
    model::{AppRef, LogLine, LogQuery, Push, PushOutcome},
    port::{LogError, LogStore, LogStream, Scan, Scheduler, StoreExt as _},
    service::Progress,
    state::keys,
};

use super::fixture::{Fixture, WEB, ann, app, build, name, session, web};

#[tokio::test]
async fn an_app_with_many_domains_goes_in_small_batches_and_leaves_nothing() {
    let fixture = Fixture::new();
    let platform = fixture.misbehaving();
    let blog = fixture.create(&platform).await;
    for n in 0..450 {
        blog.domain_add(DomainName::new(format!("n{n}.example.com")).unwrap()).await.unwrap();
    }
    let push = Push {
        id: uuid::Uuid::new_v4(),
        updates: Vec::new(),
        sha: String::new(),
        by: super::fixture::ann(),
        since: deis_core::Timestamp(1),
        build_run: None,
        owner: None,
        renewed: deis_core::Timestamp(1),
        release: None,
    };
    let push = blog.push_begin(push, true).await.unwrap();
    blog.push_close(push.id, &PushOutcome::Overtaken).await.unwrap();
    fixture.store.largest.store(0, SeqCst);
    blog.destroy().await.unwrap();
    fixture.drive(&platform).await;
    let largest = fixture.store.largest.load(SeqCst);
    assert!(largest <= 501, "a batch of {largest} edits");
    let left = fixture.store.scan(&Scan::prefix("")).await.unwrap();
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
    let fixture = Fixture::new();
    let logs = Arc::new(Forgetting::default());
    logs.away.store(true, SeqCst);
    let platform = fixture.builder().logs(Arc::clone(&logs) as _).build().unwrap();
    let blog = fixture.create(&platform).await;
    let reference = blog.app().reference();
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    // A release command under way needs its time to end, and so does an instance.
    blog.deploy(build("two", &[("web", "serve"), ("release", "release-slow")])).await.unwrap();
    while fixture.world.release_runs().is_empty() {
        platform.pass(&name()).await.unwrap();
    }
    blog.destroy().await.unwrap();
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Waiting);
    assert_eq!(fixture.world.ready(&name(), &web()), 1, "a command may need what serves");
    let mut waits = 0;
    while platform.pass(&name()).await.unwrap() == Progress::Waiting {
        fixture.world.tick();
        waits += 1;
        assert!(waits < 100, "it never goes");
    }
    assert!(waits > 1, "{waits}");
    assert!(fixture.world.instances(&name()).is_empty());
    // Nothing runs, and its lines are still there.
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::BackendUnavailable);
    assert_eq!(fixture.state().await.app.value.uid, reference.uid);
    logs.away.store(false, SeqCst);
    fixture.drive(&platform).await;
    assert!(logs.forgotten.lock().unwrap().contains(&reference));
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::AppGone);
}

#[tokio::test]
async fn an_app_whose_name_begins_the_same_is_none_of_it() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    let longer = AppName::new("blog-two").unwrap();
    session(&platform).create_app(longer.clone()).await.unwrap();
    blog.destroy().await.unwrap();
    fixture.drive(&platform).await;
    let grants = fixture.store.scan(&Scan::prefix(keys::user_apps(&ann()))).await.unwrap();
    let grants: Vec<_> = grants.into_iter().map(|record| record.key).collect();
    assert_eq!(grants, [keys::user_app(&ann(), &longer)]);
    session(&platform).app(&longer).await.unwrap();
    session(&platform).app(&name()).await.unwrap_err();
}

/// On a cluster a namespace outlives its pods, and the next life of the name would be made in it.
#[tokio::test]
async fn a_name_is_taken_as_long_as_anything_remains() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    blog.destroy().await.unwrap();
    let mut remained = false;
    loop {
        let progress = platform.pass(&name()).await.unwrap();
        if progress == Progress::AppGone {
            break;
        }
        let taken = session(&platform).create_app(name()).await;
        assert!(matches!(taken, Err(Error::AlreadyExists { .. })), "{taken:?}");
        let seen = Scheduler::observe(&fixture.world, &blog.app().reference()).await.unwrap();
        remained |= seen.instances.is_empty() && seen.remains.is_some();
        // Time goes by only while it waits: one that does not wait is gone too early.
        if progress == Progress::Waiting {
            fixture.world.tick();
        }
    }
    assert!(remained, "nothing outlived the instances");
    let left = Scheduler::observe(&fixture.world, &blog.app().reference()).await.unwrap();
    assert_eq!(left.remains, None);
    session(&platform).create_app(name()).await.unwrap();
}
