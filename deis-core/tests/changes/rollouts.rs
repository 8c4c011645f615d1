//! What a rollout does when it is overtaken, refused or read in the middle of something.

use std::sync::{Arc, Mutex};

use deis_core::{
    Cause, ConfigPatch, DomainName, EnvKey, EventKind, Generation, Outcome, ProcessType, Progress,
    ReleaseVersion,
    port::Scheduler,
    state::{events, keys::ended},
};

use super::bench::{Bench, Chatty, Choosy, RELEASE, WEB, app, build, name, session, web};

#[tokio::test]
async fn a_release_command_that_ran_is_not_asked_for_again() {
    for restart in [false, true] {
        let bench = Bench::new();
        let platform = bench.platform();
        let blog = bench.create(&platform).await;
        blog.deploy(build("one", RELEASE)).await.unwrap();
        bench.drive_to(&platform, "rolling", false).await;
        blog.scale([(web(), 2)].into()).await.unwrap();
        // Either way the runner may have forgotten the task by the time it is asked.
        bench.world.forget();
        let next = if restart { bench.platform() } else { platform };
        bench.drive(&next).await;
        let end = app(&next).await.release(ReleaseVersion(2)).await.unwrap().outcome;
        assert!(matches!(end, Some(Outcome::Succeeded { .. })), "restart: {restart}: {end:?}");
        assert_eq!(bench.world.release_runs().len(), 1, "restart: {restart}");
        assert_eq!(bench.world.ready(&name(), &web()), 2);
    }
}

#[tokio::test]
async fn requests_never_lead_to_a_type_that_retires() {
    let bench = Bench::new();
    let platform = bench.platform();
    let blog = bench.create(&platform).await;
    let cmd = ProcessType::cmd();
    bench.deploy(&platform, &blog, build("both", &[("web", "serve"), ("cmd", "serve")])).await;
    blog.scale([(cmd.clone(), 1)].into()).await.unwrap();
    bench.drive(&platform).await;
    bench.deploy(&platform, &blog, build("one", &[("cmd", "serve")])).await;
    assert_eq!(bench.world.ready(&name(), &web()), 0);
    assert_eq!(bench.world.ready(&name(), &cmd), 1);
    assert_eq!(bench.world.routes(&name()).unwrap().process, Some(cmd));
}

#[tokio::test]
async fn a_refused_live_workload_does_not_block_its_mending() {
    let bench = Bench::new();
    let scheduler = Arc::new(Choosy { world: bench.world.clone(), refused: Mutex::default(), away_for: "" });
    let platform = bench.builder().scheduler(Arc::clone(&scheduler) as _).build().unwrap();
    let blog = bench.create(&platform).await;
    bench.deploy(&platform, &blog, build("one", WEB)).await;
    bench.world.forget();
    *scheduler.refused.lock().unwrap() = Generation(bench.state().await.head.value.generation.0 + 2);

    // Held: people are told once, the routes come back, and the app rests between two attempts.
    for _ in 0..3 {
        bench.drive(&platform).await;
    }
    assert!(bench.world.routes(&name()).is_some());
    let read = events::read(&*bench.store, Some(&name()), None, 1000).await.unwrap();
    let told = read.events.iter().filter(|(_, e)| matches!(e.kind, EventKind::WorkloadRefused { .. }));
    assert_eq!(told.count(), 1);

    let change = bench.deploy(&platform, &blog, build("two", WEB)).await;
    assert_eq!(blog.info().await.unwrap().live, change.release);

    // A scheduler that comes to its senses gets it at the next look.
    bench.world.forget();
    *scheduler.refused.lock().unwrap() = Generation(bench.state().await.head.value.generation.0 + 2);
    bench.drive(&platform).await;
    *scheduler.refused.lock().unwrap() = Generation(0);
    bench.drive(&platform).await;
    let seen = Scheduler::observe(&*scheduler, &blog.app().reference()).await.unwrap();
    assert_eq!(seen.generation, bench.state().await.head.value.generation);
}

#[tokio::test]
async fn a_release_command_that_is_refused_fails_its_release() {
    let bench = Bench::new();
    let runner = Chatty::new(&bench, true);
    let platform = bench.builder().runner(runner).build().unwrap();
    let blog = bench.create(&platform).await;
    bench.deploy(&platform, &blog, build("one", RELEASE)).await;
    let end = blog.release(ReleaseVersion(2)).await.unwrap().outcome;
    let Some(Outcome::Failed { cause: Cause::Rejected { reason }, .. }) = end else { panic!("{end:?}") };
    assert_eq!(reason, "the release command: a NUL byte");
}

#[tokio::test]
async fn a_rollout_that_is_overtaken_while_it_is_read_is_read_again() {
    let bench = Bench::new();
    let (platform, other) = (bench.moody(), bench.platform());
    let blog = bench.create(&platform).await;
    blog.deploy(build("one", WEB)).await.unwrap();
    bench.store.after("workload/", async move {
        app(&other).await.deploy(build("two", WEB)).await.unwrap();
    });
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Stepped);
    bench.drive(&platform).await;
    assert_eq!(blog.info().await.unwrap().live, Some(ReleaseVersion(3)));
}

#[tokio::test]
async fn the_end_of_one_life_does_not_reach_the_next() {
    let bench = Bench::new();
    let (platform, other) = (bench.moody(), bench.platform());
    let blog = bench.create(&platform).await;
    blog.destroy().await.unwrap();
    let own = other.clone();
    bench.store.after("app/", async move {
        while own.pass(&name()).await.unwrap() != Progress::Gone {}
        session(&own).create_app(name()).await.unwrap();
    });
    platform.pass(&name()).await.unwrap();
    let change = bench.deploy(&platform, &app(&platform).await, build("one", WEB)).await;
    assert_eq!(bench.state().await.head.value.live, change.release);
    assert_eq!(bench.world.ready(&name(), &web()), 1);
}

#[tokio::test]
async fn routes_that_moved_on_meanwhile_renumber_nothing() {
    let bench = Bench::new();
    let (platform, other) = (bench.moody(), bench.platform());
    let blog = bench.create(&platform).await;
    bench.deploy(&platform, &blog, build("one", WEB)).await;
    let before = bench.state().await.head.value.generation;
    bench.store.after("workload/", async move {
        app(&other).await.domain_add(DomainName::new("www.example.com").unwrap()).await.unwrap();
        while other.pass(&name()).await.unwrap() == Progress::Stepped {}
    });
    assert_eq!(platform.pass(&name()).await.unwrap(), Progress::Stepped);
    assert_eq!(bench.state().await.head.value.generation, before);
}

#[tokio::test]
async fn one_off_commands_run_what_is_live() {
    let bench = Bench::new();
    let runner = Chatty::new(&bench, true);
    let platform = bench.builder().runner(Arc::clone(&runner) as _).build().unwrap();
    let blog = bench.create(&platform).await;
    let run = async || {
        blog.run("env", |_| std::future::ready(())).await.unwrap_err();
        runner.asked.lock().unwrap().last().copied().flatten()
    };
    // Before anything with a build is live, what is to become live.
    blog.deploy(build("one", WEB)).await.unwrap();
    assert_eq!(run().await, Some(ReleaseVersion(2)));
    bench.drive(&platform).await;
    blog.deploy(build("two", WEB)).await.unwrap();
    assert_eq!(run().await, Some(ReleaseVersion(2)));
    bench.drive(&platform).await;
    assert_eq!(run().await, Some(ReleaseVersion(3)));
}

#[tokio::test]
async fn ends_of_rollouts_do_not_pile_up() {
    let bench = Bench::new();
    let platform = bench.platform();
    let blog = bench.create(&platform).await;
    bench.deploy(&platform, &blog, build("one", WEB)).await;
    for n in 0..40 {
        blog.config_set(ConfigPatch::default().set(EnvKey::new("N").unwrap(), n.to_string())).await.unwrap();
        bench.drive(&platform).await;
    }
    let prefix = ended(&name(), Generation(0));
    let prefix = prefix.as_str().rsplit_once('/').unwrap().0;
    let left =
        deis_core::port::StoreExt::scan(&*bench.store, &deis_core::port::Scan::prefix(prefix)).await.unwrap();
    assert!((10..=33).contains(&left.len()), "{}", left.len());
}
