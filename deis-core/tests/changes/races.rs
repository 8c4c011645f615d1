//! Many at once, and answers that are lost.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use deis_core::{
    AppName, Digest, DomainName, Error, Kind, PageQuery, Timestamp,
    conformance::faults::{Fault, Faulty, Fuse},
    model::SshKey,
    port::Store,
};
use uuid::Uuid;

use super::fixture::{Fixture, ann, app, config, name, newcomer, session};

#[tokio::test]
async fn of_a_hundred_changes_at_once_none_is_refused() {
    let fixture = Fixture::new();
    let platform = fixture.misbehaving();
    let blog = fixture.create(&platform).await;
    fixture.store.slow.store(true, SeqCst);
    let all: Vec<_> = (0..100)
        .map(|n| {
            let blog = blog.clone();
            tokio::spawn(async move { blog.config_set(config(&format!("KEY_{n}"), &n.to_string())).await })
        })
        .collect();
    for change in all {
        change.await.unwrap().unwrap();
    }
    assert_eq!(blog.config().await.unwrap().data.values.len(), 100);
    let releases = blog.releases(PageQuery { offset: 0, limit: 1000 }).await.unwrap();
    let numbers: Vec<u32> = releases.items.iter().rev().map(|r| r.release.version.0).collect();
    assert_eq!(numbers, (1..=101).collect::<Vec<u32>>());
}

#[tokio::test(start_paused = true)]
async fn a_change_is_acknowledged_if_and_only_if_it_was_made() {
    for number in 0.. {
        let fixture = Fixture::new();
        fixture.create(&fixture.platform()).await;
        let fuse = Fuse::at(number, Fault::FailAfter);
        let store = Arc::new(Faulty::new(Arc::clone(&fixture.store) as Arc<dyn Store>, &fuse));
        let platform = fixture.builder().store(store).build().unwrap();
        let Ok(blog) = session(&platform).app(&name()).await else { continue };
        let acknowledged = blog.config_set(config("KEY_1", "1")).await.is_ok();
        let made = fixture.state().await.head.value.latest.0 == 2;
        assert_eq!(acknowledged, made, "the answer of call {number} was lost");
        if !fuse.was_reached() {
            break;
        }
    }
}

#[tokio::test]
async fn a_domain_that_is_taken_meanwhile_does_not_make_the_name_taken() {
    let fixture = Fixture::new();
    let (platform, other) = (fixture.misbehaving(), fixture.platform());
    session(&other).create_app(AppName::new("first").unwrap()).await.unwrap();
    fixture.store.before("commit", async move {
        let first = session(&other).app(&AppName::new("first").unwrap()).await.unwrap();
        first.domain_add(DomainName::new("blog").unwrap()).await.unwrap();
    });
    session(&platform).create_app(name()).await.unwrap();
    assert!(app(&platform).await.domains().await.unwrap().is_empty());
    let again = session(&platform).create_app(name()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { what: Kind::App, .. })), "{again:?}");
}

fn key() -> SshKey {
    SshKey {
        uuid: Uuid::new_v4(),
        id: "ann@box".to_owned(),
        owner: ann(),
        public: "ssh-ed25519 AAAA".to_owned(),
        fingerprint: Digest::of(b"key"),
        fingerprint_md5: String::new(),
        created: Timestamp(0),
    }
}

#[tokio::test]
async fn a_user_does_not_go_while_something_is_given_to_them() {
    for gets_app in [true, false] {
        let fixture = Fixture::new();
        let (platform, other) = (fixture.misbehaving(), fixture.platform());
        platform.register(newcomer("ann")).await.unwrap();
        fixture.store.before("commit", async move {
            if gets_app {
                session(&other).create_app(name()).await.unwrap();
            } else {
                other.add_key(&key()).await.unwrap();
            }
        });
        platform.cancel_user(&ann()).await.unwrap_err();
        platform.user(&ann()).await.unwrap();
    }
    let fixture = Fixture::new();
    let nobody = fixture.platform().add_key(&key()).await;
    assert!(matches!(nobody, Err(Error::NotFound { what: Kind::User, .. })), "{nobody:?}");
}
