//! Tasks as processes: what they get, what they leave.

use std::{fs, path::PathBuf, time::Duration};

use deis_core::{
    local::{LocalOptions, LocalRunner, LocalTool},
    model::{
        Artifact, Attempt, Environment, Exit, Program, Task, TaskInput, TaskKind, TaskLife, TaskName,
        TaskOutput, TaskRef, TaskStreams, TerminalSize, Tool, WhenFull,
    },
    port::{Cursor, OutputItem, StopScope, TaskError, TaskRunner, TaskRunnerExt as _},
};
use futures_util::StreamExt as _;

use crate::support::{Machine, artifact, eventually, kill, processes_of, shim_of, tree};

async fn open(machine: &Machine) -> LocalRunner {
    LocalRunner::open(machine.options()).await.unwrap()
}

/// A runner whose tool is this program.
async fn with_tool(machine: &Machine, program: &str, args: &[&str]) -> LocalRunner {
    LocalRunner::open(tool(machine.options(), program, args)).await.unwrap()
}

fn tool(options: LocalOptions, program: &str, args: &[&str]) -> LocalOptions {
    let args = args.iter().map(|a| (*a).to_owned()).collect();
    options.with_tool(Tool::Builder, LocalTool { program: program.into(), argv0: None, args })
}

fn task(machine: &Machine, program: Program) -> Task {
    let limit = Duration::from_secs(60);
    let task = Task::new(machine.app.clone(), TaskKind::Run, TaskName::new("one").unwrap(), program, limit);
    let env = Environment::from([("GREETING".to_owned(), "hello".to_owned())]);
    Task { attempt: Attempt(1), env, ..task }
}

fn launch(command: &str) -> Program {
    Program::Launch { artifact: artifact(), command: command.into() }
}

fn exec(input: Vec<u8>) -> Program {
    Program::Tool { tool: Tool::Builder, input }
}

/// Runs a task to its end: all its output and how it ended.
async fn run(machine: &Machine, runner: &LocalRunner, program: Program) -> (Vec<String>, Exit) {
    run_task(runner, &task(machine, program)).await
}

async fn run_task(runner: &LocalRunner, task: &Task) -> (Vec<String>, Exit) {
    runner.start(task).await.unwrap();
    let lines = std::sync::Mutex::new(Vec::new());
    let each = |line| {
        lines.lock().unwrap().push(line);
        std::future::ready(())
    };
    let exit = runner.follow_lines(&task.reference(), Cursor::START, each).await.unwrap();
    (lines.into_inner().unwrap(), exit)
}

/// Waits until its output contains this; gives what came so far.
async fn printed(runner: &LocalRunner, task: &TaskRef, text: &str) -> String {
    let mut items = runner.items(task, Cursor::START);
    let mut all = String::new();
    while !all.contains(text) {
        match items.next().await.unwrap().unwrap().item {
            OutputItem::Output(chunk) => all.push_str(&String::from_utf8_lossy(&chunk.bytes)),
            other => panic!("{other:?} after {all:?}"),
        }
    }
    all
}

async fn stop(machine: &Machine, runner: &LocalRunner) {
    runner.stop(&machine.app, &StopScope::All, Attempt::MAX).await.unwrap();
    eventually("it has ended", || async { runner.is_idle(&machine.app).await.unwrap().then_some(()) }).await;
}

/// What is left of tasks' files, besides what says what they printed and how they ended.
fn left(machine: &Machine) -> Vec<PathBuf> {
    let kept = ["task.json", "main.json", "exit.json", "lock"];
    let is_kept = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        path.is_dir() && !path.ends_with("app") || kept.contains(&&*name) || name.starts_with("output.")
    };
    tree(&machine.run_dir().join("tasks")).into_iter().filter(|path| !is_kept(path)).collect()
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
    assert_eq!(left(&machine), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_gets_its_input_and_only_the_declared_environment() {
    let machine = Machine::new();
    let runner = with_tool(&machine, "/usr/bin/wc", &["-c"]).await;
    let (lines, exit) = run(&machine, &runner, exec(vec![b'x'; 1 << 20])).await;
    assert_eq!((lines, exit), (vec!["1048576".to_owned()], Exit::Code(0)));
    let options = tool(machine.options(), "/usr/bin/env", &[]).with_depots("/some/depots");
    let runner = LocalRunner::open(options).await.unwrap();
    let mut task = task(&machine, exec(Vec::new()));
    (task.attempt, task.env) = (Attempt(2), Environment::from([("A".to_owned(), "b c".to_owned())]));
    let (mut lines, _) = run_task(&runner, &task).await;
    lines.sort();
    let names: Vec<&str> = lines.iter().map(|line| line.split('=').next().unwrap()).collect();
    assert_eq!(names, ["A", "DEIS_DEPOT", "DEIS_TASK", "HOME", "PATH"]);
    assert_eq!(lines[1], format!("DEIS_DEPOT=/some/depots/{}/2", machine.app.uid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_this_machine_lacks_is_refused() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let refused = runner.start(&task(&machine, exec(Vec::new()))).await;
    assert!(matches!(refused, Err(TaskError::Rejected { .. })), "{refused:?}");
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
    let task = task(&machine, launch("printf name?; sleep 615"));
    runner.start(&task).await.unwrap();
    let (sender, mut lines) = tokio::sync::mpsc::channel(1);
    let each = |line| {
        let sender = sender.clone();
        async move { drop(sender.send(line).await) }
    };
    let reference = task.reference();
    let follow = runner.follow_lines(&reference, Cursor::START, each);
    tokio::select! {
        line = lines.recv() => assert_eq!(line.unwrap(), "name?"),
        end = follow => panic!("{end:?}"),
    }
    stop(&machine, &runner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_takes_its_task_with_it() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let task = task(&machine, launch("(setsid sh -c 'sleep 616; true' &) ; sleep 617 & echo up; wait"));
    runner.start(&task).await.unwrap();
    printed(&runner, &task.reference(), "up").await;
    let folder = machine.task_folder("run-one-1");
    kill("KILL", shim_of(&folder));
    assert_eq!(runner.end(&task.reference()).await.unwrap(), Exit::Lost);
    assert_eq!(processes_of(&machine.run_dir()), Vec::<String>::new());
    assert_eq!(left(&machine), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_nobody_reads_holds_up_nothing() {
    let machine = Machine::new();
    let runner = with_tool(&machine, "/bin/true", &[]).await;
    let (_, exit) = run(&machine, &runner, exec(vec![b'x'; 4 << 20])).await;
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
    let runner = with_tool(&machine, "/no/such/program", &[]).await;
    let (lines, exit) = run(&machine, &runner, exec(Vec::new())).await;
    assert_eq!(exit, Exit::Code(127));
    assert!(lines[0].contains("cannot be started"), "{lines:?}");
    let mut absent = task(&machine, launch("true"));
    absent.attempt = Attempt(2);
    absent.program = Program::Launch {
        artifact: Artifact::Slug { digest: deis_core::Digest::of(b"?") },
        command: "true".into(),
    };
    let (lines, exit) = run_task(&runner, &absent).await;
    assert!(lines[0].contains("there is no such slug"), "{lines:?}");
    assert_eq!(exit, Exit::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_given_is_refused() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let refused = runner.start(&task(&machine, launch("a\0b"))).await;
    assert!(matches!(refused, Err(TaskError::Rejected { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ignores_sigterm_is_killed() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let task = task(&machine, launch("trap '' TERM; echo up; while :; do sleep 613; done"));
    runner.start(&task).await.unwrap();
    printed(&runner, &task.reference(), "up").await;
    stop(&machine, &runner).await;
    assert_eq!(processes_of(&machine.run_dir()), Vec::<String>::new());
    // The app is gone for good, and what was kept of it goes.
    eventually("nothing is kept", || async {
        tree(&machine.run_dir().join("tasks")).is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_end_with_their_runner() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let task = task(&machine, launch("echo up; sleep 614"));
    runner.start(&task).await.unwrap();
    printed(&runner, &task.reference(), "up").await;
    drop(runner);
    eventually("nothing runs", || async { processes_of(&machine.run_dir()).is_empty().then_some(()) }).await;
    let next = open(&machine).await;
    assert_eq!(left(&machine), Vec::<PathBuf>::new());
    let (lines, exit) = run_task(&next, &task).await;
    assert_eq!(lines, ["up"]);
    assert!(matches!(exit, Exit::Lost | Exit::Signal(15)), "{exit:?}");
}

fn session(machine: &Machine, command: &str) -> Task {
    let input = TaskInput::Terminal(TerminalSize { columns: 80, rows: 24 });
    let output = TaskOutput { streams: TaskStreams::Merged, when_full: WhenFull::Hold };
    Task { input, output, ..task(machine, launch(command)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_session_has_job_control_and_ctrl_c() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let task = session(&machine, "exec bash --norc --noediting -i");
    runner.start(&task).await.unwrap();
    let attached = runner.attach(&task.reference(), Cursor::START, true).await.unwrap();
    let writer = attached.input.unwrap();
    let say = async |text: &'static str| writer.write(text.as_bytes().into()).await.unwrap();
    let first = printed(&runner, &task.reference(), "bash-").await;
    assert!(!first.contains("no job control"), "{first}");
    say("tty >/dev/null && echo a-$((6*7))-tty\n").await;
    printed(&runner, &task.reference(), "a-42-tty").await;
    say("sleep 618\n").await;
    eventually("it sleeps", || async {
        processes_of(&machine.run_dir()).iter().any(|p| p.contains("sleep")).then_some(())
    })
    .await;
    // Ctrl-C ends what runs in the foreground, and not the shell.
    say("\u{3}").await;
    say("echo code-$?-said\n").await;
    printed(&runner, &task.reference(), "code-130-said").await;
    say("exit 9\n").await;
    assert_eq!(runner.end(&task.reference()).await.unwrap(), Exit::Code(9));
    assert_eq!(processes_of(&machine.run_dir()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_goes_hangs_up() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let task = session(&machine, "trap 'echo hung-up; exit 5' HUP; echo up; while :; do sleep 0.1; done");
    runner.start(&task).await.unwrap();
    let attached = runner.attach(&task.reference(), Cursor::START, true).await.unwrap();
    printed(&runner, &task.reference(), "up").await;
    drop(attached);
    printed(&runner, &task.reference(), "hung-up").await;
    assert_eq!(runner.end(&task.reference()).await.unwrap(), Exit::Code(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_on_disk() {
    let machine = Machine::new();
    let runner = open(&machine).await;
    let mut task = session(&machine, "read -r word; test \"$word\" = open-sesame && echo yes; exec cat");
    task.life = TaskLife::Detached;
    task.env.insert("PASSWORD".to_owned(), "sw0rdfish".to_owned());
    task.input = TaskInput::Open;
    runner.start(&task).await.unwrap();
    let attached = runner.attach(&task.reference(), Cursor::START, true).await.unwrap();
    attached.input.as_ref().unwrap().write("open-sesame\n".into()).await.unwrap();
    printed(&runner, &task.reference(), "yes").await;
    for path in tree(&machine.run_dir()).into_iter().filter(|path| path.is_file()) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains("sw0rdfish") && !text.contains("open-sesame"), "{}", path.display());
        assert!(!text.contains("read -r word"), "{}", path.display());
    }
    let folder = machine.task_folder("run-one-1");
    let mode = |path: &std::path::Path| {
        std::os::unix::fs::PermissionsExt::mode(&fs::symlink_metadata(path).unwrap().permissions()) & 0o777
    };
    assert_eq!((mode(&folder), mode(&folder.join("s"))), (0o700, 0o600));
    stop(&machine, &runner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_of_a_folder_may_be_long() {
    let machine = Machine::new();
    let deep = machine.dir().join("d".repeat(200)).join("e".repeat(200));
    let options = machine.options().with_run_dir(&deep);
    let runner = LocalRunner::open(options).await.unwrap();
    let (lines, exit) = run(&machine, &runner, launch("echo far away")).await;
    assert_eq!((lines, exit), (vec!["far away".to_owned()], Exit::Code(0)));
}
