//! Tasks as processes: what they get, what they leave.

use std::{fs, time::Duration};

use deis_core::{
    Attempt, Environment, Exit, Program, Task, TaskKind, TaskName, TaskState,
    local::LocalRunner,
    port::{StopScope, TaskError, TaskRunner, output_channel},
};

use crate::support::{Machine, artifact, eventually, kill, processes_of, shim_of, tree};

async fn open(machine: &Machine) -> LocalRunner {
    LocalRunner::open(machine.options()).await.unwrap()
}

fn task(machine: &Machine, program: Program) -> Task {
    Task {
        app: machine.app.clone(),
        name: TaskName::new("one").unwrap(),
        kind: TaskKind::Run,
        attempt: Attempt(1),
        release: None,
        program,
        env: Environment::from([("GREETING".to_owned(), "hello".to_owned())]),
        limit: Duration::from_secs(60),
    }
}

fn launch(command: &str) -> Program {
    Program::Launch { artifact: artifact(), command: command.into() }
}

fn exec(machine: &Machine, program: &str, args: &[&str], stdin: Vec<u8>) -> Program {
    Program::Exec {
        program: program.into(),
        argv0: None,
        args: args.iter().map(|a| (*a).to_owned()).collect(),
        directory: machine.files(),
        stdin,
    }
}

/// Runs a task to its end: all its output and how it ended.
async fn run(machine: &Machine, runner: &LocalRunner, program: Program) -> (Vec<String>, Exit) {
    let (sender, mut output) = output_channel();
    let task = task(machine, program);
    runner.start(task.clone(), sender).await.unwrap();
    let mut lines = Vec::new();
    while let Some(line) = output.recv().await {
        lines.push(line.text);
    }
    match runner.observe(&task.app, task.kind, &task.name).await.unwrap().state {
        TaskState::Ended { exit, .. } => (lines, exit),
        other => panic!("its output has ended, but it is {other:?}"),
    }
}

fn left(machine: &Machine) -> Vec<std::path::PathBuf> {
    tree(&machine.run_dir().join("tasks"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_in_a_copy_of_the_app() {
    let machine = Machine::new();
    fs::create_dir(machine.files().join(".profile.d")).unwrap();
    fs::write(machine.files().join(".profile.d/x.sh"), "export FROM_PROFILE=yes\n").unwrap();
    let runner = open(&machine).await;
    let script = "touch new; ls; echo $GREETING $FROM_PROFILE; [ \"$HOME\" = \"$PWD\" ] && echo home; exit 7";
    let (lines, exit) = run(&machine, &runner, launch(script)).await;
    assert_eq!(lines, ["new", "server.py", "hello yes", "home"]);
    assert_eq!(exit, Exit::Code(7));
    assert!(!machine.files().join("new").exists());
    assert_eq!(left(&machine), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_its_input_and_only_the_declared_environment() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let (lines, exit) =
        run(&machine, &runner, exec(&machine, "/usr/bin/wc", &["-c"], vec![b'x'; 1 << 20])).await;
    assert_eq!((lines, exit), (vec!["1048576".to_owned()], Exit::Code(0)));
    let mut task = task(&machine, exec(&machine, "/usr/bin/env", &[], Vec::new()));
    (task.attempt, task.env) = (Attempt(2), Environment::from([("A".to_owned(), "b c".to_owned())]));
    let (sender, mut output) = output_channel();
    runner.start(task, sender).await.unwrap();
    let mut lines = Vec::new();
    while let Some(line) = output.recv().await {
        lines.push(line.text.split('=').next().unwrap().to_owned());
    }
    lines.sort();
    assert_eq!(lines, ["A", "DEIS_TASK", "HOME", "PATH"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn output_and_errors_come_in_the_order_they_were_written() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let (lines, _) =
        run(&machine, &runner, launch("for n in $(seq 200); do echo out $n; echo err $n >&2; done")).await;
    let written: Vec<String> = (1..=200).flat_map(|n| [format!("out {n}"), format!("err {n}")]).collect();
    assert_eq!(lines, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_shown_while_its_task_waits() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let (sender, mut output) = output_channel();
    runner.start(task(&machine, launch("printf name?; sleep 615")), sender).await.unwrap();
    assert_eq!(output.recv().await.unwrap().text, "name?");
    runner.stop(&machine.app, StopScope::All, Attempt::MAX).await.unwrap();
    eventually("it has ended", || async { runner.is_idle(&machine.app).await.unwrap().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_takes_its_task_with_it() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let (sender, mut output) = output_channel();
    let task = task(&machine, launch("(setsid sh -c 'sleep 616; true' &) ; sleep 617 & echo up; wait"));
    runner.start(task.clone(), sender).await.unwrap();
    assert_eq!(output.recv().await.unwrap().text, "up");
    let folder = machine.run_dir().join("tasks").join(machine.app.uid.to_string()).join("run-one-1");
    kill("KILL", shim_of(&folder));
    while output.recv().await.is_some() {}
    let state = runner.observe(&task.app, task.kind, &task.name).await.unwrap().state;
    assert!(matches!(state, TaskState::Ended { exit: Exit::Lost, .. }), "{state:?}");
    assert_eq!(processes_of(&machine.run_dir()), Vec::<String>::new());
    assert_eq!(left(&machine), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_nobody_reads_holds_up_nothing() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let (_, exit) = run(&machine, &runner, exec(&machine, "/bin/true", &[], vec![b'x'; 4 << 20])).await;
    assert_eq!(exit, Exit::Code(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn children_end_with_their_task() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let (lines, exit) = run(&machine, &runner, launch("(setsid sleep 611 &); sleep 612 & echo done")).await;
    assert_eq!((lines, exit), (vec!["done".to_owned()], Exit::Code(0)));
    assert_eq!(processes_of(&machine.run_dir()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_exist_is_told() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let (lines, exit) = run(&machine, &runner, exec(&machine, "/no/such/program", &[], Vec::new())).await;
    assert_eq!(exit, Exit::Code(127));
    assert!(lines[0].contains("cannot be started"), "{lines:?}");
    let mut absent = task(&machine, launch("true"));
    absent.attempt = Attempt(2);
    absent.program = Program::Launch {
        artifact: deis_core::Artifact::Slug { digest: deis_core::Digest::of(b"?") },
        command: "true".into(),
    };
    let (sender, mut output) = output_channel();
    runner.start(absent, sender).await.unwrap();
    let line = output.recv().await.unwrap().text;
    assert!(line.contains("there is no such slug"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_given_is_refused() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let (sender, _output) = output_channel();
    let refused = runner.start(task(&machine, launch("a\0b")), sender).await;
    assert!(matches!(refused, Err(TaskError::Rejected { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ignores_sigterm_is_killed() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let (sender, mut output) = output_channel();
    runner
        .start(task(&machine, launch("trap '' TERM; echo up; while :; do sleep 613; done")), sender)
        .await
        .unwrap();
    assert_eq!(output.recv().await.unwrap().text, "up");
    runner.stop(&machine.app, StopScope::All, Attempt::MAX).await.unwrap();
    eventually("it has ended", || async { runner.is_idle(&machine.app).await.unwrap().then_some(()) }).await;
    assert_eq!(processes_of(&machine.run_dir()), Vec::<String>::new());
    assert_eq!(left(&machine), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_end_with_their_runner() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let (sender, mut output) = output_channel();
    runner.start(task(&machine, launch("echo up; sleep 614")), sender).await.unwrap();
    assert_eq!(output.recv().await.unwrap().text, "up");
    drop(runner);
    eventually("nothing runs", || async { processes_of(&machine.run_dir()).is_empty().then_some(()) }).await;
    let _next = open(&machine).await;
    assert_eq!(left(&machine), Vec::<std::path::PathBuf>::new());
}
