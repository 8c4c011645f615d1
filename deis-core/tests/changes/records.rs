//! What a change and the end of a rollout leave on record.

use std::sync::Arc;

use deis_core::{
    ReleaseVersion,
    model::{Attempt, Cause, EventKind, Generation, Outcome, Phase, RolloutEnd},
    service::Progress,
    state::{apps::AppState, events, keys, ledger::end_of, record::get},
};

use super::fixture::{Fixture, RELEASE, WEB, app, build, config, name, web};

const CRASHES: &[(&str, &str)] = &[("web", "crash")];

#[tokio::test]
async fn a_change_that_overtakes_raises_the_counter_of_routes_and_no_other_does() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    let routes = async || fixture.state().await.head.value.routes;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    let before = routes().await;
    blog.config_set(config("A", "1")).await.unwrap();
    assert_eq!(routes().await, before, "nothing was under way");
    fixture.drive_to(&platform, "rolling", false).await;
    blog.config_set(config("A", "2")).await.unwrap();
    assert_eq!(routes().await, before + 1);
    blog.scale([(web(), 2)].into()).await.unwrap();
    assert_eq!(routes().await, before + 2);
    fixture.drive(&platform).await;
    blog.scale([(web(), 1)].into()).await.unwrap();
    assert_eq!(routes().await, before + 2);
}

/// Kinds of the app's events, without phases.
async fn events_of(fixture: &Fixture) -> Vec<EventKind> {
    let read = events::read(&*fixture.store, Some(&name()), None, 1000).await.unwrap();
    let kinds = read.events.into_iter().map(|(_, event)| event.kind);
    kinds.filter(|kind| !matches!(kind, EventKind::RolloutPhase { .. })).collect()
}

async fn outcome(fixture: &Fixture, version: u32) -> Option<Outcome> {
    let key = keys::outcome(&name(), ReleaseVersion(version));
    get::<Outcome>(&*fixture.store, &key).await.unwrap().map(|stored| stored.value)
}

#[tokio::test]
async fn all_that_a_rollout_absorbed_ends_with_it() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    // Three releases, the last of which becomes live.
    blog.deploy(build("two", WEB)).await.unwrap();
    blog.config_set(config("A", "1")).await.unwrap();
    fixture.drive_to(&platform, "rolling", false).await;
    fixture.deploy(&platform, &blog, build("three", WEB)).await;
    for version in [3, 4] {
        let end = outcome(&fixture, version).await;
        assert!(matches!(end, Some(Outcome::Superseded { by: ReleaseVersion(5), .. })), "{version}: {end:?}");
    }
    assert!(matches!(outcome(&fixture, 5).await, Some(Outcome::Succeeded { .. })));
    assert_eq!(fixture.state().await.head.value.live, Some(ReleaseVersion(5)));
    let gave_way = events_of(&fixture)
        .await
        .into_iter()
        .filter(|kind| matches!(kind, EventKind::ReleaseSuperseded { by: ReleaseVersion(5), .. }));
    assert_eq!(gave_way.count(), 2);
    // Two releases and a scale, all of which fail together.
    blog.deploy(build("bad", CRASHES)).await.unwrap();
    blog.config_set(config("A", "2")).await.unwrap();
    blog.scale([(web(), 2)].into()).await.unwrap();
    fixture.drive(&platform).await;
    for version in [6, 7] {
        let end = outcome(&fixture, version).await;
        assert!(matches!(end, Some(Outcome::Failed { cause: Cause::CrashLoop { .. }, .. })), "{end:?}");
    }
    assert_eq!(fixture.state().await.head.value.live, Some(ReleaseVersion(5)));
    let events = events_of(&fixture).await;
    let failed = |version| move |kind: &&EventKind| matches!(kind, EventKind::ReleaseFailed { version: v, .. } if v.0 == version);
    assert_eq!((events.iter().filter(failed(6)).count(), events.iter().filter(failed(7)).count()), (1, 1));
    assert!(!events.iter().any(|kind| matches!(kind, EventKind::ScaleFailed { .. })), "the releases tell it");
    // The scale went with them.
    assert_eq!(fixture.state().await.formation.value.scale(&web()), 1);
}

#[tokio::test]
async fn a_scale_of_what_is_live_decides_no_release() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("good", RELEASE)).await;
    let live = outcome(&fixture, 2).await;
    blog.scale([(web(), 2)].into()).await.unwrap();
    let rollout = fixture.state().await.rollout.unwrap().value;
    assert!(!rollout.decides && rollout.absorbed.is_empty());
    fixture.drive(&platform).await;
    assert_eq!(outcome(&fixture, 2).await, live);
    assert_eq!(fixture.world.release_runs().len(), 1, "the command of what is live has run");
    let state = fixture.state().await;
    assert_eq!(state.rollout.unwrap().value.attempt.0, rollout.attempt.0);
    assert!(rollout.attempt < Attempt(rollout.generation.0), "the release's own");
}

#[tokio::test]
async fn the_end_of_a_change_is_that_of_the_rollout_that_carried_it() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    let end = async |g: u64| end_of(&*fixture.store, &name(), Generation(g)).await.unwrap();
    assert_eq!(end(0).await, None);
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    let first = fixture.state().await.head.value.generation;
    assert_eq!(end(0).await, Some(RolloutEnd::Succeeded));
    assert_eq!(end(first.0).await, Some(RolloutEnd::Succeeded));
    assert_eq!(end(first.0 + 1).await, None);
    fixture.deploy(&platform, &blog, build("bad", CRASHES)).await;
    assert_eq!(end(first.0).await, Some(RolloutEnd::Succeeded));
    assert!(matches!(end(first.0 + 1).await, Some(RolloutEnd::Failed { .. })));
}

#[tokio::test]
async fn a_change_without_a_rollout_ends_one_that_goes_back() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    // The first release of all fails: nothing with a build is live, so that a config has nothing to roll out.
    blog.deploy(build("bad", CRASHES)).await.unwrap();
    fixture.drive_to(&platform, "reverting", false).await;
    let under_way = fixture.state().await;
    let generation = under_way.rollout.unwrap().value.generation;
    assert_eq!(under_way.formation.value.scale(&web()), 1);
    let change = blog.config_set(config("A", "1")).await.unwrap();
    let state = fixture.state().await;
    assert!(matches!(state.rollout.unwrap().value.phase, Phase::Failed { fallback_unhealthy: false, .. }));
    assert_eq!(state.formation.value.scale(&web()), 0, "what was wanted before");
    assert_eq!(state.head.value.live, change.release);
    assert!(matches!(outcome(&fixture, 2).await, Some(Outcome::Failed { .. })));
    assert!(matches!(outcome(&fixture, 3).await, Some(Outcome::Succeeded { .. })));
    let end = end_of(&*fixture.store, &name(), generation).await.unwrap();
    assert!(matches!(end, Some(RolloutEnd::Failed { .. })), "{end:?}");
    fixture.drive(&platform).await;
    assert_eq!(app(&platform).await.info().await.unwrap().live, change.release);
    assert_eq!(fixture.world.ready(&name(), &web()), 0);
}

#[tokio::test]
async fn each_phase_is_told_once_and_in_order() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", RELEASE)).await;
    fixture.deploy(&platform, &blog, build("bad", CRASHES)).await;
    let read = events::read(&*fixture.store, Some(&name()), None, 1000).await.unwrap();
    let phases = read.events.into_iter().filter_map(|(_, event)| match event.kind {
        EventKind::RolloutPhase { version, phase } => Some(format!("{version} {phase}")),
        _ => None,
    });
    let expected = [
        "v2 staging",
        "v2 rolling",
        "v2 routing",
        "v2 succeeded",
        "v3 staging",
        "v3 rolling",
        "v3 reverting",
        "v3 failed",
    ];
    assert_eq!(phases.collect::<Vec<_>>(), expected);
}

/// A copy of the store from some time ago: its numbers move above those that the back ends have seen since.
#[tokio::test]
async fn an_older_copy_of_the_store_catches_up_with_its_back_ends() {
    for phase in ["staging", "rolling", "routing", "succeeded"] {
        let fixture = Fixture::new();
        let platform = fixture.platform();
        let blog = fixture.create(&platform).await;
        fixture.deploy(&platform, &blog, build("one", WEB)).await;
        blog.deploy(build("two", WEB)).await.unwrap();
        fixture.drive_to(&platform, phase, false).await;
        let copy = Arc::new(fixture.store.inner.fork());
        // Routes of later rollouts, and a raised counter of them.
        for n in 0..3 {
            blog.config_set(config("A", &n.to_string())).await.unwrap();
        }
        fixture.drive(&platform).await;
        let ahead = fixture.state().await;
        let state = async || AppState::load(&*copy, &name()).await.unwrap().unwrap();
        let restored = fixture.builder().store(Arc::clone(&copy) as _).build().unwrap();
        let before = state().await;
        while state().await.head.value.generation == before.head.value.generation {
            assert_ne!(restored.pass(&name()).await.unwrap(), Progress::Idle, "{phase}");
        }
        let moved = state().await;
        assert!(moved.head.value.generation > ahead.head.value.generation, "{phase}");
        assert!(moved.head.value.routes > ahead.head.value.routes, "{phase}");
        let next = |state: &AppState| state.app.value.summary.next.as_ref().map(|next| next.version);
        assert_eq!(next(&moved), next(&before), "{phase}: what is on its way is on its way");
        fixture.drive(&restored).await;
        let rested = state().await;
        assert_eq!(rested.head.value.live, Some(ReleaseVersion(3)), "{phase}");
        assert_eq!(rested.rollout.unwrap().value.phase, Phase::Succeeded, "{phase}");
        assert_eq!(fixture.world.ready(&name(), &web()), 1, "{phase}");
        let instances = fixture.world.instances(&name());
        assert!(instances.iter().all(|i| i.release == ReleaseVersion(3)), "{phase}: {instances:?}");
    }
}

#[tokio::test]
async fn it_is_known_which_apps_were_destroyed() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let gone = fixture.create(&platform).await.app().uid;
    app(&platform).await.destroy().await.unwrap();
    fixture.drive(&platform).await;
    let present = fixture.create(&platform).await.app().uid;
    let known = platform.destroyed_among(&[gone, present].into()).await.unwrap();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), [gone]);
}
