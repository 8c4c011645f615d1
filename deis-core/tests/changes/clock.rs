//! What counts as active time of a rollout.

use std::sync::atomic::Ordering::SeqCst;

use deis_core::{model::Phase, service::Progress};

use super::fixture::{Fixture, WEB, build, name, seconds};

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_is_not_active_time() {
    let fixture = Fixture::new();
    let platform = fixture.misbehaving();
    fixture.create(&platform).await.deploy(build("one", WEB)).await.unwrap();
    fixture.drive_to(&platform, "rolling", true).await;
    while platform.pass(&name()).await.unwrap() == Progress::Advanced {}
    fixture.store.down.store(true, SeqCst);
    platform.pass(&name()).await.unwrap_err();
    seconds(3600).await;
    fixture.store.down.store(false, SeqCst);
    platform.pass(&name()).await.unwrap();
    assert_eq!(fixture.phase().await, Phase::Rolling);
    // Up to here nothing was spent; from here on it is.
    seconds(121).await;
    platform.pass(&name()).await.unwrap();
    assert_eq!(fixture.phase().await.name(), "reverting");
}

#[tokio::test(start_paused = true)]
async fn a_lost_commit_restarts_no_clock() {
    let fixture = Fixture::new();
    let platform = fixture.misbehaving();
    fixture.create(&platform).await.deploy(build("one", WEB)).await.unwrap();
    fixture.drive_to(&platform, "rolling", true).await;
    while platform.pass(&name()).await.unwrap() == Progress::Advanced {}
    seconds(121).await;
    fixture.store.lose.store(1, SeqCst);
    platform.pass(&name()).await.unwrap_err();
    assert_eq!(fixture.phase().await, Phase::Rolling);
    platform.pass(&name()).await.unwrap();
    assert_eq!(fixture.phase().await.name(), "reverting");
}

#[tokio::test(start_paused = true)]
async fn a_phase_that_another_process_began_has_its_whole_time() {
    let fixture = Fixture::new();
    let (platform, other) = (fixture.platform(), fixture.platform());
    let blog = fixture.create(&platform).await;
    blog.deploy(build("one", &[("web", "serve"), ("release", "release-works")])).await.unwrap();
    // The release command runs for long.
    while platform.pass(&name()).await.unwrap() == Progress::Advanced {}
    seconds(1000).await;
    platform.pass(&name()).await.unwrap();
    fixture.world.tick();
    fixture.drive_to(&other, "rolling", true).await;
    while platform.pass(&name()).await.unwrap() == Progress::Advanced {}
    seconds(60).await;
    platform.pass(&name()).await.unwrap();
    assert_eq!(fixture.phase().await, Phase::Rolling);
}
