//! What a pass does while a rollout waits: it saves the time now and then, and wakes whoever follows.

use std::sync::atomic::Ordering::SeqCst;

use deis_core::service::Progress;
use futures_util::{FutureExt as _, StreamExt as _};

use super::fixture::{Fixture, WEB, build, name, seconds, web};

#[tokio::test(start_paused = true)]
async fn time_that_is_spent_is_saved_every_ten_seconds() {
    let fixture = Fixture::new();
    let platform = fixture.misbehaving();
    fixture.create(&platform).await.deploy(build("one", WEB)).await.unwrap();
    fixture.drive_to(&platform, "rolling", true).await;
    while platform.pass(&name()).await.unwrap() == Progress::Advanced {}
    let begun = fixture.store.commits.load(SeqCst);
    for (passed, written) in [(3, 0), (6, 0), (9, 0), (12, 1), (15, 1), (21, 1), (24, 2)] {
        seconds(3).await;
        if passed == 21 {
            seconds(3).await;
        }
        assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Waiting);
        assert_eq!(fixture.store.commits.load(SeqCst) - begun, written, "after {passed} seconds");
    }
    assert_eq!(fixture.state().await.rollout.unwrap().value.spent_ms, 24_000);
}

#[tokio::test(start_paused = true)]
async fn who_follows_a_change_hears_at_once_what_is_new() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    blog.scale([(web(), 3)].into()).await.unwrap();
    fixture.drive(&platform).await;
    let change = blog.deploy(build("two", WEB)).await.unwrap();
    fixture.drive_to(&platform, "rolling", true).await;
    while platform.pass(&name()).await.unwrap() == Progress::Advanced {}
    let mut lines = blog.progress(&change);
    assert_eq!(lines.next().now_or_never(), Some(Some("web 0 of 3 ready".to_owned())));
    assert_eq!(lines.next().now_or_never(), None, "it is said once");
    while fixture.world.instances(&name()).iter().filter(|i| i.release.0 == 3 && i.is_ready()).count() < 1 {
        fixture.world.tick();
    }
    // Nothing is written in this pass.
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Waiting);
    assert_eq!(lines.next().now_or_never(), Some(Some("web 1 of 3 ready".to_owned())));
}
