//! What the scheduler needs from others, and what it tells them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use deis_core::{
    local::{ArtifactFolder, LocalScheduler, Unpacker},
    model::{Artifact, Cause, Instance, InstanceState},
    port::{ArtifactError, Scheduler},
};

use crate::support::{Machine, serve, shim, timing, web, workload};

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_is_not_there_is_told() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    let mut template = web(serve());
    template.launch.artifact = Artifact::Slug { digest: deis_core::Digest::of(b"another") };
    machine.apply(&scheduler, 1, template).await;
    let cause = Cause::Artifact { reason: "there is no such slug".to_owned() };
    machine
        .found(&scheduler, "failing", |i| i.state == InstanceState::Failing { cause: cause.clone() })
        .await;
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_cannot_be_had_for_a_while_is_waited_for() {
    let machine = Machine::new();
    let (files, asked) = (machine.files(), Arc::new(AtomicUsize::new(0)));
    let unpacker: Unpacker = Arc::new(move |_| {
        let (path, turn) = (files.clone(), asked.fetch_add(1, Ordering::SeqCst));
        Box::pin(async move {
            if turn < 5 {
                return Err(ArtifactError::Unavailable("the store is away".into()));
            }
            Ok(ArtifactFolder { path, lease: None })
        })
    });
    let options = deis_core::local::LocalOptions::new(machine.run_dir(), unpacker)
        .with_shim(deis_core::local::ShimProgram::Path(shim()))
        .with_timing(timing());
    let scheduler = LocalScheduler::open(options).await.unwrap();
    scheduler.apply(&workload(&machine.app, 1, 1, web(serve()))).await.unwrap();
    let troubled = machine.found(&scheduler, "one that waits", |i| i.trouble.is_some()).await;
    let Some(Cause::Artifact { reason }) = troubled.trouble else { panic!("its artifact is missing") };
    assert!(reason.contains("the store is away"), "{reason}");
    let ready = machine.found(&scheduler, "a ready instance", |i| {
        assert!(!matches!(i.state, InstanceState::Failing { .. }), "it is no reason to give up: {i:?}");
        i.is_ready()
    });
    ready.await;
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_woken_when_an_instance_is_ready_and_when_it_is_gone() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    machine.apply(&scheduler, 1, web(serve())).await;
    loop {
        let woken = tokio::time::timeout(std::time::Duration::from_secs(20), machine.wake.next()).await;
        assert!(woken.expect("somebody says so").contains(&machine.app.name));
        if machine.instances(&scheduler).await.iter().any(Instance::is_ready) {
            break;
        }
    }
    scheduler.remove(&machine.app).await.unwrap();
    while !machine.instances(&scheduler).await.is_empty() {
        let woken = tokio::time::timeout(std::time::Duration::from_secs(20), machine.wake.next()).await;
        assert!(woken.expect("somebody says so").contains(&machine.app.name));
    }
}
