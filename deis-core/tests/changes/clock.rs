//! What counts as active time of a rollout.

use std::sync::atomic::Ordering::SeqCst;

use deis_core::{Phase, Progress};

use super::bench::{Bench, WEB, build, name, seconds};

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_is_not_active_time() {
    let bench = Bench::new();
    let platform = bench.moody();
    bench.create(&platform).await.deploy(build("one", WEB)).await.unwrap();
    bench.drive_to(&platform, "rolling", true).await;
    while platform.pass(&name()).await.unwrap() == Progress::Stepped {}
    bench.store.down.store(true, SeqCst);
    platform.pass(&name()).await.unwrap_err();
    seconds(3600).await;
    bench.store.down.store(false, SeqCst);
    platform.pass(&name()).await.unwrap();
    assert_eq!(bench.phase().await, Phase::Rolling);
    // Up to here nothing was spent; from here on it is.
    seconds(121).await;
    platform.pass(&name()).await.unwrap();
    assert_eq!(bench.phase().await.name(), "reverting");
}

#[tokio::test(start_paused = true)]
async fn a_lost_commit_restarts_no_clock() {
    let bench = Bench::new();
    let platform = bench.moody();
    bench.create(&platform).await.deploy(build("one", WEB)).await.unwrap();
    bench.drive_to(&platform, "rolling", true).await;
    while platform.pass(&name()).await.unwrap() == Progress::Stepped {}
    seconds(121).await;
    bench.store.lose.store(1, SeqCst);
    platform.pass(&name()).await.unwrap_err();
    assert_eq!(bench.phase().await, Phase::Rolling);
    platform.pass(&name()).await.unwrap();
    assert_eq!(bench.phase().await.name(), "reverting");
}

#[tokio::test(start_paused = true)]
async fn a_phase_that_another_process_began_has_its_whole_time() {
    let bench = Bench::new();
    let (platform, other) = (bench.platform(), bench.platform());
    let blog = bench.create(&platform).await;
    blog.deploy(build("one", &[("web", "serve"), ("release", "release-works")])).await.unwrap();
    // The release command runs for long.
    while platform.pass(&name()).await.unwrap() == Progress::Stepped {}
    seconds(1000).await;
    platform.pass(&name()).await.unwrap();
    bench.world.tick();
    bench.drive_to(&other, "rolling", true).await;
    while platform.pass(&name()).await.unwrap() == Progress::Stepped {}
    seconds(60).await;
    platform.pass(&name()).await.unwrap();
    assert_eq!(bench.phase().await, Phase::Rolling);
}
