//! Who waits for a change learns what became of that change.

use deis_core::{ChangeOutcome, ReleaseVersion, model::Cause};

use super::fixture::{Fixture, WEB, build, config, web};

const CRASHES: &[(&str, &str)] = &[("web", "crash")];

#[tokio::test]
async fn a_scale_that_failed_stays_failed_whatever_comes_after() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    // A build that crashes is live because nothing of it was wanted.
    fixture.deploy(&platform, &blog, build("good", WEB)).await;
    blog.scale([(web(), 0)].into()).await.unwrap();
    fixture.drive(&platform).await;
    fixture.deploy(&platform, &blog, build("bad", CRASHES)).await;
    let scale = blog.scale([(web(), 2)].into()).await.unwrap();
    fixture.drive_to(&platform, "reverting", false).await;
    let config = blog.config_set(config("A", "1")).await.unwrap();
    fixture.drive(&platform).await;
    assert_eq!(blog.wait(&config).await.unwrap(), ChangeOutcome::Done);
    let end = blog.wait(&scale).await.unwrap();
    assert!(matches!(end, ChangeOutcome::Failed(Cause::CrashLoop { .. })), "{end:?}");
}

#[tokio::test]
async fn a_scale_that_succeeded_is_not_blamed_for_the_next_change() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("good", WEB)).await;
    let scale = blog.scale([(web(), 2)].into()).await.unwrap();
    fixture.drive(&platform).await;
    fixture.deploy(&platform, &blog, build("bad", CRASHES)).await;
    assert_eq!(blog.wait(&scale).await.unwrap(), ChangeOutcome::Done);
}

#[tokio::test]
async fn a_scale_that_is_absorbed_shares_the_end_of_its_absorber() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("good", WEB)).await;
    let scale = blog.scale([(web(), 2)].into()).await.unwrap();
    fixture.deploy(&platform, &blog, build("bad", CRASHES)).await;
    assert!(matches!(blog.wait(&scale).await.unwrap(), ChangeOutcome::Failed(_)));
}

#[tokio::test]
async fn an_absorbed_release_is_done_only_if_its_build_runs() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    let absorbed = blog.deploy(build("two", WEB)).await.unwrap();
    let back = blog.rollback(Some(ReleaseVersion(2))).await.unwrap();
    fixture.drive(&platform).await;
    assert_eq!(blog.wait(&back).await.unwrap(), ChangeOutcome::Done);
    assert_eq!(blog.wait(&absorbed).await.unwrap(), ChangeOutcome::Superseded { by: ReleaseVersion(4) });

    let carried = blog.deploy(build("three", WEB)).await.unwrap();
    blog.config_set(config("A", "1")).await.unwrap();
    fixture.drive(&platform).await;
    assert_eq!(blog.wait(&carried).await.unwrap(), ChangeOutcome::Done);
}
