//! Apps that do what apps must not do, and what is told of it.

use std::{collections::BTreeMap, fs, io::Write as _, time::Duration};

use deis_core::{
    ProcessType,
    model::{Cause, ExecCheck, Exit, Instance, InstanceState, Probe},
    port::{Scheduler, SchedulerError},
};

use crate::{
    logs::all,
    support::{
        Machine, eventually, kill, probe, probed, processes_of, python, serve, shim_of, web, workload,
    },
};

/// A server that ignores SIGTERM.
fn stubborn() -> String {
    format!("trap '' TERM; {} & wait; wait", serve())
}

fn is_failing(instance: &Instance) -> bool {
    matches!(instance.state, InstanceState::Failing { .. })
}

fn cause(instance: Instance) -> Cause {
    match instance.state {
        InstanceState::Failing { cause } => cause,
        other => panic!("{other:?} is not failing"),
    }
}

/// Applies a web process and waits until it is failing.
async fn fails(command: &str) -> Cause {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    machine.apply(&scheduler, 1, web(command)).await;
    let cause = cause(machine.found(&scheduler, "a failing instance", is_failing).await);
    machine.remove(&scheduler).await;
    cause
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_exits_at_once_is_a_crash_loop_with_its_last_lines() {
    let Cause::CrashLoop { process, exit, last_lines } = fails("echo first; echo >&2 second; exit 3").await
    else {
        panic!("it is a crash loop");
    };
    assert_eq!((process, exit), (ProcessType::web(), Exit::Code(3)));
    let mut lines = last_lines;
    lines.sort();
    assert_eq!(lines, ["first", "second"], "of the last run only");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_killed_says_by_which_signal() {
    assert!(matches!(fails("kill -9 $$").await, Cause::CrashLoop { exit: Exit::Signal(9), .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_does_not_exist_is_told() {
    let Cause::CrashLoop { exit, last_lines, .. } = fails("no-such-program --x").await else {
        panic!("it is a crash loop");
    };
    assert_eq!(exit, Exit::Code(127));
    assert!(last_lines[0].contains("no-such-program"), "{last_lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_exits_now_and_then_is_trouble_first_and_a_crash_loop_at_last() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    machine.apply(&scheduler, 1, web("sleep 0.3; exit 5")).await;
    let troubled = machine.found(&scheduler, "one that ended once", |i| i.trouble.is_some()).await;
    assert_eq!(troubled.state, InstanceState::Starting, "it may still come right");
    assert!(matches!(troubled.trouble, Some(Cause::CrashLoop { exit: Exit::Code(5), .. })));
    let failing = machine.found(&scheduler, "a failing instance", is_failing).await;
    assert_eq!(failing.name, troubled.name);
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_listens_is_told_after_its_budget() {
    let Cause::NotListening { port, found, .. } = fails("exec sleep 600").await else {
        panic!("it does not listen");
    };
    assert!((20000..=29999).contains(&port));
    assert!(found.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_listens_elsewhere_is_told_where() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut machine = Machine::new();
    machine.timing.start_budget = Duration::from_secs(600);
    let scheduler = machine.open().await;
    machine.apply(&scheduler, 1, web(format!("{} {free}", serve()))).await;
    let cause = cause(machine.found(&scheduler, "a failing instance", is_failing).await);
    assert!(matches!(&cause, Cause::NotListening { found, .. } if *found == [free]), "{cause:?}");
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_on_any_loopback_address_is_enough() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    for address in ["127.0.0.1", "0.0.0.0"] {
        let mut template = web(serve());
        template.env.insert("ADDRESS".to_owned(), address.to_owned());
        machine.apply(&scheduler, 1, template).await;
        eventually("one ready instance", || async {
            let seen = machine.instances(&scheduler).await;
            (seen.len() == 1 && seen[0].is_ready()).then_some(())
        })
        .await;
    }
    if let Err(error) = std::net::TcpListener::bind("[::1]:0") {
        // Not by the print of a test that passes, which nobody sees.
        let _ = writeln!(std::io::stderr(), "not looked at here: IPv6 ({error})");
    } else {
        let six = r#"import os,socket,time; s=socket.socket(socket.AF_INET6); s.bind(("::1",int(os.environ["PORT"]))); s.listen(); time.sleep(600)"#;
        machine.apply(&scheduler, 1, web(python(six))).await;
        eventually("one that listens on ::1", || async {
            let seen = machine.endpoints.of(machine.app.uid, &ProcessType::web());
            seen.iter().any(|e| e.address.is_ipv6() && !e.draining).then_some(())
        })
        .await;
    }
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_moved_away_end_with_their_instance() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    let command = format!(
        "(setsid sleep 601 &) ; (setsid sh -c 'trap \"\" TERM; (sleep 602 &) ; sleep 603' &) ; sleep 604 & {}",
        serve()
    );
    machine.apply(&scheduler, 1, web(command)).await;
    machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    eventually("all children run", || async {
        (processes_of(&machine.run_dir()).iter().filter(|p| p.contains("sleep 60")).count() >= 4)
            .then_some(())
    })
    .await;
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_end_when_their_instance_crashes() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    machine.apply(&scheduler, 1, web("setsid sleep 605 & sleep 0.2; exit 1")).await;
    machine.found(&scheduler, "a failing instance", is_failing).await;
    let left = processes_of(&machine.run_dir()).iter().filter(|p| p.contains("sleep 605")).count();
    assert!(left <= 1, "only the present run may have one, not {left}");
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ignores_sigterm_is_killed_after_its_grace() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    machine.apply(&scheduler, 1, web(stubborn())).await;
    let ready = machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    scheduler.stop_all().await;
    let exit = fs::read_to_string(machine.folder_of(&ready.name).join("exit.json")).unwrap();
    assert!(exit.contains(r#"{"signal":9}"#), "{exit}");
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_prints_its_last_lines_are_small() {
    let prints = r#"import sys
for n in range(60): print(chr(1) * 65000)
print("the end", flush=True); sys.exit(9)"#;
    let cause = fails(&python(prints)).await;
    assert!(serde_json::to_vec(&cause).unwrap().len() < 64 * 1024);
    let Cause::CrashLoop { exit: Exit::Code(9), last_lines, .. } = cause else { panic!("{cause:?}") };
    assert_eq!(last_lines.last().unwrap(), "the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_leaves_time_to_end_well() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    let done = machine.dir().join("done");
    let mut template =
        web(format!("trap 'sleep 0.3; touch {}; exit 0' TERM; {} & wait", done.display(), serve()));
    template.grace_seconds = 10;
    machine.apply(&scheduler, 1, template).await;
    machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    machine.remove(&scheduler).await;
    assert!(done.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_gets_its_environment_and_nothing_else() {
    let mut machine = Machine::new();
    fs::create_dir(machine.files().join(".profile.d")).unwrap();
    fs::write(machine.files().join(".profile.d/10-one.sh"), "export ONE=1 TWO=1\n").unwrap();
    fs::write(machine.files().join(".profile.d/20-two.sh"), "export TWO=$((TWO + ONE))\n").unwrap();
    let scheduler = machine.open().await;
    let mut template = web(format!("env -0 > env; pwd > pwd; echo \"$GREETING\" > greeting; {}", serve()));
    template.env.insert("PORT".to_owned(), "1".to_owned());
    machine.apply(&scheduler, 1, template).await;
    let ready = machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    let home = machine.folder_of(&ready.name).join("app");
    let env = fs::read_to_string(home.join("env")).unwrap();
    let env: BTreeMap<&str, &str> = env.split_terminator('\0').filter_map(|e| e.split_once('=')).collect();
    assert_eq!(fs::read_to_string(home.join("pwd")).unwrap().trim(), home.to_str().unwrap());
    assert_eq!(fs::read_to_string(home.join("greeting")).unwrap(), "hello $HOME 'world'\n");
    let port = scheduler.processes(&machine.app)[0].address.port().to_string();
    assert_eq!((env["HOME"], env["PORT"], env["TWO"]), (home.to_str().unwrap(), port.as_str(), "2"));
    let known = ["GREETING", "HOME", "HOST", "PORT", "PATH", "ONE", "TWO", "PWD", "OLDPWD", "SHLVL", "_"];
    assert_eq!(env.keys().filter(|key| !known.contains(key)).collect::<Vec<_>>(), Vec::<&&str>::new());
    for pid in scheduler.processes(&machine.app).iter().map(|p| p.pid) {
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!arguments.contains("hello"), "an environment shows in arguments");
    }
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_write_into_their_own_copy() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    machine.apply(&scheduler, 2, web(format!("[ ! -e mine ] && echo $$ > mine && {}", serve()))).await;
    eventually("both are ready, so neither saw the other's file", || async {
        (machine.instances(&scheduler).await.iter().filter(|i| i.is_ready()).count() == 2).then_some(())
    })
    .await;
    assert!(!machine.files().join("mine").exists());
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_process_can_be_given_is_refused() {
    let machine = Machine::new();
    let scheduler = machine.open().await;
    let mut bad_key = web(serve());
    bad_key.env.insert("A=B".to_owned(), String::new());
    let mut bad_value = web(serve());
    bad_value.env.insert("A".to_owned(), "x\0y".to_owned());
    for template in [bad_key, bad_value, web("a\0b")] {
        let refused = scheduler.apply(&workload(&machine.app, 1, 1, template)).await;
        assert!(matches!(refused, Err(SchedulerError::Rejected { .. })), "{refused:?}");
    }
    assert!(machine.instances(&scheduler).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_readiness_probe_decides() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    let mut template = probed(serve());
    machine.apply(&scheduler, 1, template.clone()).await;
    machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    let exec = ExecCheck {
        command: ["/bin/sh", "-c", "test -e up || { echo not up; exit 4; }"].map(Into::into).into(),
    };
    template.probes.readiness = Some(Probe { exec: Some(exec), ..probe() });
    template.restarts = 1;
    machine.apply(&scheduler, 1, template).await;
    let failing = machine.found(&scheduler, "a failing instance", is_failing).await;
    let home = machine.folder_of(&failing.name).join("app");
    let Cause::Probe { reason, .. } = cause(failing) else { panic!("its probe fails") };
    assert_eq!(reason, "exit code 4: not up");
    fs::write(home.join("up"), "").unwrap();
    eventually("it came right, and the old one left", || async {
        let seen = machine.instances(&scheduler).await;
        (seen.len() == 1 && seen[0].is_ready()).then_some(())
    })
    .await;
    fs::remove_file(home.join("up")).unwrap();
    machine.found(&scheduler, "out of rotation", |i| i.state == InstanceState::Unready).await;
    assert!(machine.endpoints.lease(machine.app.uid, &ProcessType::web(), &[]).is_none());
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liveness_probe_restarts() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    let exec = ExecCheck { command: ["/bin/sh", "-c", "test ! -e dead"].map(Into::into).into() };
    let mut template = web(serve());
    template.probes.liveness = Some(Probe { exec: Some(exec), ..probe() });
    machine.apply(&scheduler, 1, template).await;
    let ready = machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    let before = scheduler.processes(&machine.app);
    fs::write(machine.folder_of(&ready.name).join("app/dead"), "").unwrap();
    let after = eventually("another process of the same instance", || async {
        let now = scheduler.processes(&machine.app);
        (now.len() == 1 && now[0].pid != before[0].pid).then_some(now)
    })
    .await;
    assert_eq!(after[0].instance, before[0].instance);
    let again = machine.found(&scheduler, "ready again", Instance::is_ready).await;
    assert!(matches!(again.trouble, Some(Cause::Probe { .. })));
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_its_liveness_probe_takes_no_requests_while_it_ends() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    let exec = ExecCheck { command: ["/bin/sh", "-c", "test ! -e dead"].map(Into::into).into() };
    let mut template = web(stubborn());
    template.grace_seconds = 600;
    template.probes.liveness = Some(Probe { exec: Some(exec), ..probe() });
    machine.apply(&scheduler, 1, template).await;
    let ready = machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    let folder = machine.folder_of(&ready.name);
    fs::write(folder.join("app/dead"), "").unwrap();
    let unready = machine.found(&scheduler, "unready", |i| i.state == InstanceState::Unready).await;
    assert!(matches!(unready.trouble, Some(Cause::Probe { .. })), "{unready:?}");
    assert_eq!(scheduler.processes(&machine.app).len(), 1, "it still has its grace period");
    assert!(machine.endpoints.lease(machine.app.uid, &ProcessType::web(), &[]).is_none());
    let process = scheduler.processes(&machine.app)[0].pid;
    kill("KILL", process);
    kill("KILL", shim_of(&folder));
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_one_that_was_ready_is_in_the_log() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    machine.apply(&scheduler, 1, web(serve())).await;
    let ready = machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    kill("KILL", scheduler.processes(&machine.app)[0].pid);
    let said = eventually("a line of the platform", || async {
        let lines = all(&machine).await.into_iter();
        lines.map(|line| line.text).find(|text| text.contains("ended with"))
    })
    .await;
    let suffix = ready.name.as_str().rsplit('-').next().unwrap();
    assert!(said.starts_with(&format!("web.{suffix} ended with signal 9 after ")), "{said}");
    assert!(said.ends_with("; next start in 0 s"), "{said}");
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stops_listening_leaves_the_rotation_when_it_ends() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    machine.apply(&scheduler, 1, web(serve())).await;
    let ready = machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    let pid = scheduler.processes(&machine.app)[0].pid;
    kill("KILL", pid);
    machine.found(&scheduler, "unready", |i| i.state == InstanceState::Unready).await;
    let again = machine.found(&scheduler, "ready again", Instance::is_ready).await;
    assert_eq!(again.name, ready.name, "it is the same instance, started again");
    assert!(matches!(again.trouble, Some(Cause::CrashLoop { exit: Exit::Signal(9), .. })));
    machine.remove(&scheduler).await;
}
