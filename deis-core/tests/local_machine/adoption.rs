//! What a scheduler finds that starts where another one ended.

use std::fs;

use deis_core::{
    ProcessType,
    local::LocalProcess,
    model::{Generation, Instance, InstanceName},
    port::Scheduler,
};

use crate::support::{Machine, eventually, kill, processes_of, serve, shim_of, tree, web, workload};

fn pids(processes: &[LocalProcess]) -> Vec<u32> {
    processes.iter().map(|p| p.pid).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_adopted_with_their_pids() {
    let mut machine = Machine::new();
    let first = machine.open().await;
    machine.apply(&first, 2, web(serve())).await;
    eventually("two ready instances", || async {
        (machine.instances(&first).await.iter().filter(|i| i.is_ready()).count() == 2).then_some(())
    })
    .await;
    let before = first.processes(&machine.app);
    drop(first);
    machine.endpoints = deis_core::Endpoints::default();

    let second = machine.open().await;
    assert_eq!(second.observe(&machine.app).await.unwrap().generation, Generation(0));
    assert_eq!(second.processes(&machine.app), before);
    assert_eq!(second.apps().await.unwrap(), std::slice::from_ref(&machine.app));
    let in_rotation = machine.endpoints.of(machine.app.uid, &ProcessType::web()).len();
    assert_eq!(in_rotation, 2, "both are in rotation at once, before anything was applied");
    machine.apply(&second, 2, web(serve())).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(second.processes(&machine.app), before, "what fits stays");
    machine.apply(&second, 1, web(format!("true; {}", serve()))).await;
    eventually("one new instance", || async {
        let now = second.processes(&machine.app);
        (now.len() == 1 && !pids(&before).contains(&now[0].pid)).then_some(())
    })
    .await;
    machine.remove(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_instance_that_ends_is_started_again_once_its_template_is_known() {
    let mut machine = Machine::new();
    let first = machine.open().await;
    machine.apply(&first, 1, web(serve())).await;
    let ready = machine.found(&first, "a ready instance", Instance::is_ready).await;
    drop(first);
    let second = machine.open().await;
    machine.apply(&second, 1, web(serve())).await;
    let before = second.processes(&machine.app);
    kill("KILL", before[0].pid);
    eventually("the same instance with another process", || async {
        let now = second.processes(&machine.app);
        (now.len() == 1 && now[0].instance == ready.name && now[0].pid != before[0].pid).then_some(())
    })
    .await;
    machine.remove(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_ended_unwatched_is_replaced() {
    let mut machine = Machine::new();
    let first = machine.open().await;
    machine.apply(&first, 1, web(serve())).await;
    let ready = machine.found(&first, "a ready instance", Instance::is_ready).await;
    let pid = first.processes(&machine.app)[0].pid;
    drop(first);
    kill("TERM", pid);
    let folder = machine.folder_of(&ready.name);
    eventually("its end is written down", || async { folder.join("exit.json").exists().then_some(()) }).await;
    let second = machine.open().await;
    // The shim may have lived a moment longer than what it wrote.
    eventually("nothing runs", || async { second.apps().await.unwrap().is_empty().then_some(()) }).await;
    assert!(!folder.join("app").exists() && folder.join("out.0").exists(), "files go, output stays");
    machine.apply(&second, 1, web(serve())).await;
    let new = machine.found(&second, "a ready instance", Instance::is_ready).await;
    assert_ne!(new.name, ready.name);
    machine.remove(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_takes_its_app_with_it() {
    let mut machine = Machine::new();
    let first = machine.open().await;
    let command = format!("(setsid sh -c 'sleep 641; true' &) ; {}", serve());
    machine.apply(&first, 1, web(command.clone())).await;
    let ready = machine.found(&first, "a ready instance", Instance::is_ready).await;
    let kill_shim = |name: &InstanceName| kill("KILL", shim_of(&machine.folder_of(name)));
    let app = first.processes(&machine.app)[0].pid;
    kill_shim(&ready.name);
    eventually("another process", || async {
        let now = first.processes(&machine.app);
        (now.len() == 1 && now[0].pid != app).then_some(())
    })
    .await;
    machine.found(&first, "ready again", Instance::is_ready).await;
    eventually("nothing but the new run, also of what had moved away", || async {
        (processes_of(&machine.run_dir()).len() == 3).then_some(())
    })
    .await;

    drop(first);
    kill_shim(&ready.name);
    let second = machine.open().await;
    eventually("the app was ended at the start", || async {
        processes_of(&machine.run_dir()).is_empty().then_some(())
    })
    .await;
    machine.remove(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn remains_are_tidied_at_the_start() {
    let machine = Machine::new();
    let torn = machine.app_dir().join("blog-web-1-torn0");
    fs::create_dir_all(torn.join("app/deep")).unwrap();
    let task = machine.task_folder("run-x-1");
    fs::create_dir_all(task.join("app")).unwrap();
    let foreign = machine.run_dir().join("not-an-app");
    fs::create_dir_all(&foreign).unwrap();
    let _scheduler = machine.open().await;
    let _runner = deis_core::local::LocalRunner::open(machine.options()).await.unwrap();
    assert!(!torn.exists() && !task.exists(), "{:?}", tree(&machine.run_dir()));
    assert!(foreign.exists(), "what is not ours stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_can_be_removed_before_anything_was_applied() {
    let mut machine = Machine::new();
    let first = machine.open().await;
    machine.apply(&first, 2, web(serve())).await;
    machine.found(&first, "a ready instance", Instance::is_ready).await;
    drop(first);
    let second = machine.open().await;
    machine.remove(&second).await;
    assert!(second.apply(&workload(&machine.app, 99, 1, web(serve()))).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_all_leaves_output_and_refuses_nothing() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    machine.apply(&scheduler, 2, web(serve())).await;
    let ready = machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    scheduler.stop_all().await;
    assert_eq!(processes_of(&machine.run_dir()), Vec::<String>::new());
    assert!(machine.folder_of(&ready.name).join("out.0").exists());
    machine.apply(&scheduler, 1, web(serve())).await;
    machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    machine.remove(&scheduler).await;
}
