//! What must not be left of instances whose supervising process failed, and what ports they get.

use std::{fs, net::TcpListener};

use deis_core::{
    ProcessType,
    model::{Cause, Instance, InstanceState},
};

use crate::support::{Machine, eventually, kill, processes_of, serve, shim_of, web};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_cannot_be_recorded_does_not_run() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    // One that prints would end with its shim.
    machine.apply(&scheduler, 1, web(format!("exec {} > /dev/null", serve()))).await;
    let ready = machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    let folder = machine.folder_of(&ready.name);
    // As if the disk were full.
    fs::create_dir(folder.join("state.json.part")).unwrap();
    kill("KILL", scheduler.processes(&machine.app)[0].pid);
    machine
        .found(&scheduler, "one that was not started", |i| match &i.trouble {
            Some(Cause::CrashLoop { last_lines, .. }) => {
                last_lines.last().is_some_and(|l| l.contains("cannot be started"))
            }
            Some(Cause::Unschedulable { .. }) => true,
            _ => false,
        })
        .await;
    eventually("nothing runs", || async { processes_of(&machine.run_dir()).is_empty().then_some(()) }).await;
    fs::remove_dir(folder.join("state.json.part")).unwrap();
    machine.found(&scheduler, "ready again", Instance::is_ready).await;
    assert_eq!(processes_of(&machine.run_dir()).len(), 1);
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_is_tidied_even_if_its_shim_is_killed() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    let mut stubborn = web(format!("trap '' TERM; {} & wait; wait", serve()));
    stubborn.grace_seconds = 600;
    machine.apply(&scheduler, 1, stubborn).await;
    let old = machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    machine.apply(&scheduler, 1, web(serve())).await;
    let folder = machine.folder_of(&old.name);
    eventually("the old one is being stopped", || async {
        fs::read_to_string(folder.join("state.json")).unwrap().contains("\"stopping\":true").then_some(())
    })
    .await;
    kill("KILL", shim_of(&folder));
    eventually("the new one alone", || async {
        (machine.instances(&scheduler).await.len() == 1).then_some(())
    })
    .await;
    assert!(folder.join("exit.json").exists() && !folder.join("app").exists());
    assert_eq!(processes_of(&machine.run_dir()).len(), 1);
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_nobody_can_read_of_has_its_grace_period() {
    let mut machine = Machine::new();
    let first = machine.open().await;
    let done = machine.dir().join("done");
    let mut template =
        web(format!("trap 'sleep 2.5; touch {}; exit 0' TERM; {} & wait", done.display(), serve()));
    template.grace_seconds = 600;
    machine.apply(&first, 1, template).await;
    let ready = machine.found(&first, "a ready instance", Instance::is_ready).await;
    drop(first);
    fs::write(machine.folder_of(&ready.name).join("state.json"), "{}").unwrap();
    let second = machine.open().await;
    assert!(done.exists());
    assert_eq!(processes_of(&machine.run_dir()), Vec::<String>::new());
    machine.remove(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_somebody_else_listens_on_is_given_up() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    // The first run waits for the stranger to come; the second one serves.
    let again = machine.dir().join("again");
    let command = format!("[ -e {0} ] && exec {1}; touch {0}; exec sleep 600", again.display(), serve());
    machine.apply(&scheduler, 1, web(command)).await;
    let address = eventually("a port", || async {
        let running = scheduler.processes(&machine.app);
        running.first().filter(|_| again.exists()).map(|process| process.address)
    })
    .await;
    let _stranger = TcpListener::bind(address).unwrap();
    let ready = machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    let reason = format!("port {} is taken by another process", address.port());
    assert_eq!(ready.trouble, Some(Cause::Unschedulable { reason }));
    let lease = machine.endpoints.lease(machine.app.uid, &ProcessType::web(), &[]).unwrap();
    assert_ne!(lease.address(), address, "its requests do not go to the stranger");
    drop(lease);

    // Nor after an adoption.
    let process = scheduler.processes(&machine.app)[0].clone();
    drop(scheduler);
    machine.endpoints = deis_core::Endpoints::default();
    let shim = shim_of(&machine.folder_of(&ready.name));
    kill("STOP", &shim);
    kill("KILL", process.pid);
    let _stranger =
        eventually("the port is free", || async { TcpListener::bind(process.address).ok() }).await;
    let scheduler = machine.open().await;
    let seen = machine.instances(&scheduler).await;
    assert!(seen.iter().all(|i| i.state == InstanceState::Starting), "{seen:?}");
    assert!(machine.endpoints.lease(machine.app.uid, &ProcessType::web(), &[]).is_none());
    kill("CONT", &shim);
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_rests_across_platform_processes() {
    let mut machine = Machine::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    machine.ports = free..=free;
    let first = machine.open().await;
    machine.apply(&first, 1, web(serve())).await;
    machine.found(&first, "a ready instance", Instance::is_ready).await;
    first.stop_all().await;
    drop(first);
    let second = machine.open().await;
    machine.apply(&second, 1, web(serve())).await;
    let troubled = machine.found(&second, "one without a port", |i| i.trouble.is_some()).await;
    let Some(Cause::Unschedulable { reason }) = troubled.trouble else { panic!("{troubled:?}") };
    assert!(reason.contains("every port"), "{reason}");
    machine.remove(&second).await;
}
