//! What a rollout does when it is overtaken, refused or read in the middle of something.

use std::sync::{Arc, Mutex};

use deis_core::{
    ConfigPatch, DomainName, EnvKey, ProcessType, ReleaseVersion,
    model::{Cause, EventKind, Generation, Outcome},
    port::Scheduler,
    service::Progress,
    state::{events, keys::ended},
};

use super::fixture::{
    Fixture, OneLineRunner, RELEASE, RefusingScheduler, WEB, app, build, name, session, web,
};

#[tokio::test]
async fn a_release_command_that_ran_is_not_asked_for_again() {
    for restart in [false, true] {
        let fixture = Fixture::new();
        let platform = fixture.platform();
        let blog = fixture.create(&platform).await;
        blog.deploy(build("one", RELEASE)).await.unwrap();
        fixture.drive_to(&platform, "rolling", false).await;
        blog.scale([(web(), 2)].into()).await.unwrap();
        // Either way the runner may have forgotten the task by the time it is asked.
        fixture.world.forget();
        let next = if restart { fixture.platform() } else { platform };
        fixture.drive(&next).await;
        let end = app(&next).await.release(ReleaseVersion(2)).await.unwrap().outcome;
        assert!(matches!(end, Some(Outcome::Succeeded { .. })), "restart: {restart}: {end:?}");
        assert_eq!(fixture.world.release_runs().len(), 1, "restart: {restart}");
        assert_eq!(fixture.world.ready(&name(), &web()), 2);
    }
}

#[tokio::test]
async fn requests_never_lead_to_a_type_that_retires() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    let cmd = ProcessType::cmd();
    fixture.deploy(&platform, &blog, build("both", &[("web", "serve"), ("cmd", "serve")])).await;
    blog.scale([(cmd.clone(), 1)].into()).await.unwrap();
    fixture.drive(&platform).await;
    fixture.deploy(&platform, &blog, build("one", &[("cmd", "serve")])).await;
    assert_eq!(fixture.world.ready(&name(), &web()), 0);
    assert_eq!(fixture.world.ready(&name(), &cmd), 1);
    assert_eq!(fixture.world.routes(&name()).unwrap().process, Some(cmd));
}

#[tokio::test]
async fn a_refused_live_workload_does_not_block_its_mending() {
    let fixture = Fixture::new();
    let scheduler =
        Arc::new(RefusingScheduler { world: fixture.world.clone(), refused: Mutex::default(), away_for: "" });
    let platform = fixture.builder().scheduler(Arc::clone(&scheduler) as _).build().unwrap();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    fixture.world.forget();
    *scheduler.refused.lock().unwrap() = Generation(fixture.state().await.head.value.generation.0 + 2);

    // Held: people are told once, the routes come back, and the app rests between two attempts.
    for _ in 0..3 {
        fixture.drive(&platform).await;
    }
    assert!(fixture.world.routes(&name()).is_some());
    let read = events::read(&*fixture.store, Some(&name()), None, 1000).await.unwrap();
    let told = read.events.iter().filter(|(_, e)| matches!(e.kind, EventKind::WorkloadRefused { .. }));
    assert_eq!(told.count(), 1);

    let change = fixture.deploy(&platform, &blog, build("two", WEB)).await;
    assert_eq!(blog.info().await.unwrap().live, change.release);

    // A scheduler that comes to its senses gets it at the next look.
    fixture.world.forget();
    *scheduler.refused.lock().unwrap() = Generation(fixture.state().await.head.value.generation.0 + 2);
    fixture.drive(&platform).await;
    *scheduler.refused.lock().unwrap() = Generation(0);
    fixture.drive(&platform).await;
    let seen = Scheduler::observe(&*scheduler, &blog.app().reference()).await.unwrap();
    assert_eq!(seen.generation, fixture.state().await.head.value.generation);
}

#[tokio::test]
async fn a_release_command_that_is_refused_fails_its_release() {
    let fixture = Fixture::new();
    let runner = OneLineRunner::new(&fixture, true);
    let platform = fixture.builder().runner(runner).build().unwrap();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", RELEASE)).await;
    let end = blog.release(ReleaseVersion(2)).await.unwrap().outcome;
    let Some(Outcome::Failed { cause: Cause::Rejected { reason }, .. }) = end else { panic!("{end:?}") };
    assert_eq!(reason, "the release command: a NUL byte");
}

#[tokio::test]
async fn a_rollout_that_is_overtaken_while_it_is_read_is_read_again() {
    let fixture = Fixture::new();
    let (platform, other) = (fixture.misbehaving(), fixture.platform());
    let blog = fixture.create(&platform).await;
    blog.deploy(build("one", WEB)).await.unwrap();
    fixture.store.after("workload/", async move {
        app(&other).await.deploy(build("two", WEB)).await.unwrap();
    });
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Advanced);
    fixture.drive(&platform).await;
    assert_eq!(blog.info().await.unwrap().live, Some(ReleaseVersion(3)));
}

#[tokio::test]
async fn the_end_of_one_life_does_not_reach_the_next() {
    let fixture = Fixture::new();
    let (platform, other) = (fixture.misbehaving(), fixture.platform());
    let blog = fixture.create(&platform).await;
    blog.destroy().await.unwrap();
    let own = other.clone();
    fixture.store.after("app/", async move {
        while own.pass(&name()).await.unwrap() != Progress::AppGone {}
        session(&own).create_app(name()).await.unwrap();
    });
    platform.pass(&name()).await.unwrap();
    let change = fixture.deploy(&platform, &app(&platform).await, build("one", WEB)).await;
    assert_eq!(fixture.state().await.head.value.live, change.release);
    assert_eq!(fixture.world.ready(&name(), &web()), 1);
}

#[tokio::test]
async fn routes_that_moved_on_meanwhile_renumber_nothing() {
    let fixture = Fixture::new();
    let (platform, other) = (fixture.misbehaving(), fixture.platform());
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    let before = fixture.state().await.head.value.generation;
    fixture.store.after("workload/", async move {
        app(&other).await.domain_add(DomainName::new("www.example.com").unwrap()).await.unwrap();
        while other.pass(&name()).await.unwrap() == Progress::Advanced {}
    });
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Advanced);
    assert_eq!(fixture.state().await.head.value.generation, before);
}

#[tokio::test]
async fn one_off_commands_run_what_is_live() {
    let fixture = Fixture::new();
    let runner = OneLineRunner::new(&fixture, true);
    let platform = fixture.builder().runner(Arc::clone(&runner) as _).build().unwrap();
    let blog = fixture.create(&platform).await;
    let run = async || {
        blog.run("env", |_| std::future::ready(())).await.unwrap_err();
        runner.asked.lock().unwrap().last().copied().flatten()
    };
    // Before anything with a build is live, what is to become live.
    blog.deploy(build("one", WEB)).await.unwrap();
    assert_eq!(run().await, Some(ReleaseVersion(2)));
    fixture.drive(&platform).await;
    blog.deploy(build("two", WEB)).await.unwrap();
    assert_eq!(run().await, Some(ReleaseVersion(2)));
    fixture.drive(&platform).await;
    assert_eq!(run().await, Some(ReleaseVersion(3)));
}

#[tokio::test]
async fn ends_of_rollouts_do_not_pile_up() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("one", WEB)).await;
    for n in 0..40 {
        blog.config_set(ConfigPatch::default().set(EnvKey::new("N").unwrap(), n.to_string())).await.unwrap();
        fixture.drive(&platform).await;
    }
    let prefix = ended(&name(), Generation(0));
    let prefix = prefix.as_str().rsplit_once('/').unwrap().0;
    let left = deis_core::port::StoreExt::scan(&*fixture.store, &deis_core::port::Scan::prefix(prefix))
        .await
        .unwrap();
    assert!((10..=33).contains(&left.len()), "{}", left.len());
}
