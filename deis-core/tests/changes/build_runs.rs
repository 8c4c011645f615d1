//! Build runs: one for each push that builds, however it ends.

use deis_core::{
    Error, PageQuery, Timestamp,
    model::{Attempt, BuildRunState, Push, PushOutcome},
    service::BUILD_RUNS_KEPT,
};
use uuid::Uuid;

use super::fixture::{Fixture, WEB, ann, build};

pub(super) fn push(sha: &str) -> Push {
    Push {
        id: Uuid::new_v4(),
        updates: Vec::new(),
        sha: sha.to_owned(),
        by: ann(),
        since: Timestamp(5),
        build_run: None,
        owner: None,
        renewed: Timestamp(5),
        release: None,
    }
}

fn ended(reason: &str) -> PushOutcome {
    PushOutcome::NotStored { reason: reason.to_owned() }
}

#[tokio::test]
async fn every_end_of_a_build_is_on_record() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    // Tags and deletions build nothing.
    let stored = blog.push_begin(push("0"), false).await.unwrap();
    assert_eq!(stored.build_run, None);
    blog.push_close(stored.id, &ended("stored")).await.unwrap();

    let first = blog.push_begin(push("1"), true).await.unwrap();
    assert_eq!(first.build_run, Some(Attempt(1)));
    // The answer was lost: it is the same one.
    assert_eq!(blog.push_begin(first.clone(), true).await.unwrap(), first);
    let run = blog.build_run(Attempt(1)).await.unwrap();
    assert_eq!((run.state, run.by, run.sha.as_str()), (BuildRunState::Running, ann(), "1"));
    let change = blog.deploy_push(first.id, build("a", WEB)).await.unwrap();
    fixture.drive(&platform).await;
    blog.wait(&change).await.unwrap();
    blog.push_close(first.id, &ended("done")).await.unwrap();
    let run = blog.build_run(Attempt(1)).await.unwrap();
    let built = blog.builds(PageQuery::default()).await.unwrap().items[0].id;
    assert_eq!((run.state, run.build, run.cause), (BuildRunState::Succeeded, Some(built), None));

    let second = blog.push_begin(push("2"), true).await.unwrap();
    let long = format!("no compiler{}", "é".repeat(9000));
    blog.build_run_failed(Attempt(2), &long).await.unwrap();
    blog.push_close(second.id, &ended("failed")).await.unwrap();
    let run = blog.build_run(Attempt(2)).await.unwrap();
    let cause = run.cause.unwrap();
    assert_eq!(run.state, BuildRunState::Failed);
    assert!(cause.starts_with("no compileré") && cause.len() <= 4096, "{}", cause.len());

    // Nobody says how this one ended.
    let third = blog.push_begin(push("3"), true).await.unwrap();
    blog.push_close(third.id, &PushOutcome::Interrupted { sha: "3".to_owned() }).await.unwrap();
    assert_eq!(blog.build_run(Attempt(3)).await.unwrap().state, BuildRunState::Interrupted);

    let fourth = blog.push_begin(push("4"), true).await.unwrap();
    blog.build_run_cancel(Attempt(4)).await.unwrap();
    // Whoever cancels it twice gets the same; whoever builds learns that it was in vain.
    blog.build_run_cancel(Attempt(4)).await.unwrap();
    assert_eq!(blog.build_run_failed(Attempt(4), "killed").await.unwrap().state, BuildRunState::Cancelled);
    let refused = blog.deploy_push(fourth.id, build("b", WEB)).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Conflict { reason } if reason == "the build was cancelled by ann"),
        "{refused:?}"
    );
    assert!(matches!(blog.build_run_cancel(Attempt(1)).await, Err(Error::Conflict { .. })));
    assert!(matches!(blog.build_run_cancel(Attempt(9)).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn the_newest_runs_are_kept_and_listed_from_any_point() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    assert_eq!(blog.build_runs(PageQuery::default()).await.unwrap().total, 0);
    let all = BUILD_RUNS_KEPT + 5;
    for n in 1..=all {
        let push = blog.push_begin(push(&n.to_string()), true).await.unwrap();
        blog.push_close(push.id, &ended("gone")).await.unwrap();
    }
    let kept = usize::try_from(BUILD_RUNS_KEPT).unwrap();
    for (offset, limit, first, count) in
        [(0, 100, all, kept), (0, 1, all, 1), (3, 2, all - 3, 2), (kept - 1, 9, 6, 1), (kept, 9, 0, 0)]
    {
        let page = blog.build_runs(PageQuery { offset, limit }).await.unwrap();
        assert_eq!((page.items.len(), page.total), (count, kept), "{offset} {limit}");
        assert_eq!(page.items.first().map_or(0, |run| run.attempt.0), first);
    }
    assert!(matches!(blog.build_run(Attempt(5)).await, Err(Error::NotFound { .. })));
}
