//! The run folder: paths that are short enough, and what is none of this process's business.

use std::{fs, path::Path};

use bytes::Bytes;
use deis_core::{
    local::{LocalRunner, recorded_processes},
    logs::FileLogs,
    model::{
        Attempt, Exit, Instance, LogQuery, Program, Task, TaskInput, TaskKind, TaskLife, TaskName, TaskRef,
    },
    port::{Cursor, LogStore as _, Scheduler as _, StopScope, TaskRunner as _, TaskRunnerExt as _},
};
use futures_util::StreamExt as _;

use crate::support::{Machine, artifact, eventually, processes_of, python, serve, web};

/// Opens a socket below its home folder, as application servers do, and says how that went.
const SOCKET: &str = r#"
import os, socket, time
os.makedirs("tmp/sockets")
s = socket.socket(socket.AF_UNIX)
try:
    s.bind(os.environ["HOME"] + "/tmp/sockets/puma.sock")
    print("it listens", flush=True)
except OSError as error:
    print(error, flush=True)
time.sleep(600)
"#;

async fn lines(machine: &Machine) -> Vec<String> {
    let query = LogQuery { lines: 100, ..Default::default() };
    let lines = FileLogs::new(machine.run_dir()).tail(&machine.app, &query).await.unwrap();
    lines.map(|line| line.unwrap().text).collect().await
}

fn task(machine: &Machine, life: TaskLife, command: &str) -> Task {
    let program = Program::Launch { artifact: artifact(), command: command.into() };
    let (name, limit) = (TaskName::new("one").unwrap(), std::time::Duration::from_secs(600));
    Task { life, ..Task::new(machine.app.clone(), TaskKind::Run, name, program, limit) }
}

async fn output(runner: &LocalRunner, task: &TaskRef) -> (Vec<String>, Exit) {
    let lines = std::sync::Mutex::new(Vec::new());
    let each = |line| {
        lines.lock().unwrap().push(line);
        std::future::ready(())
    };
    let exit = runner.follow_lines(task, Cursor::START, each).await.unwrap();
    (lines.into_inner().unwrap(), exit)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_fits_below_home() {
    // As long as `/home/firstname.lastname/.local/share/deis`, whatever the folder for temporary files is.
    let usual = "/home/firstname.lastname/.local/share/deis".len();
    let temporary = tempfile::tempdir().unwrap().path().as_os_str().len();
    let mut machine = Machine::below(&"d".repeat(usual.saturating_sub(temporary + 1).max(1)));
    let scheduler = machine.open().await;
    let mut worker = web(python(SOCKET));
    worker.routable = false;
    machine.apply(&scheduler, 1, worker).await;
    let said = eventually("it says how it went", || async { lines(&machine).await.into_iter().next() }).await;
    assert_eq!(said, "it listens");
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_with_a_long_path_works_and_its_one_limit_is_told() {
    let mut machine = Machine::below(&["long"; 40].join("/"));
    let scheduler = machine.open().await;
    machine.apply(&scheduler, 1, web(serve())).await;
    machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    let said = lines(&machine).await;
    assert!(said.iter().any(|line| line.contains("a Unix socket in $HOME")), "{said:?}");

    let runner = LocalRunner::open(machine.options()).await.unwrap();
    let mut task = task(&machine, TaskLife::Bound, "read line; echo got $line");
    task.input = TaskInput::Open;
    runner.start(&task).await.unwrap();
    let input = runner.attach(&task.reference(), Cursor::START, true).await.unwrap().input.unwrap();
    input.write(Bytes::from_static(b"it\n")).await.unwrap();
    let got = output(&runner, &task.reference()).await;
    assert_eq!(got, (vec!["got it".to_owned()], Exit::Code(0)));
    machine.remove(&scheduler).await;
}

/// Changes the version in a record; returns the version before.
fn set_version(file: &Path, version: u64) -> u64 {
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let before = record["version"].as_u64().unwrap();
    record["version"] = version.into();
    fs::write(file, record.to_string()).unwrap();
    before
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_version_wrote_is_left_alone() {
    let mut machine = Machine::new();
    let first = machine.open().await;
    machine.apply(&first, 1, web(serve())).await;
    let ready = machine.found(&first, "a ready instance", Instance::is_ready).await;
    let pid = first.processes(&machine.app)[0].pid;
    let runner = LocalRunner::open(machine.options()).await.unwrap();
    let task = task(&machine, TaskLife::Detached, "sleep 600");
    runner.start(&task).await.unwrap();
    let (state, record) = (
        machine.folder_of(&ready.name).join("state.json"),
        machine.task_folder("run-one-0").join("task.json"),
    );
    eventually("the task runs", || async { record.with_file_name("main.json").exists().then_some(()) }).await;
    drop((first, runner));
    let before = [&state, &record].map(|file| set_version(file, 99));

    let second = machine.open().await;
    let runner = LocalRunner::open(machine.options()).await.unwrap();
    assert!(second.apps().await.unwrap().is_empty() && runner.tasks(None).await.unwrap().is_empty());
    assert_eq!(processes_of(&machine.run_dir()).len(), 2, "{:?}", processes_of(&machine.run_dir()));
    assert!(recorded_processes(&machine.run_dir()).unwrap().is_empty());
    drop((second, runner));

    set_version(&state, before[0]);
    set_version(&record, before[1]);
    let third = machine.open().await;
    assert_eq!(third.processes(&machine.app)[0].pid, pid, "who knows it finds it as it was");
    assert_eq!(recorded_processes(&machine.run_dir()).unwrap().into_iter().collect::<Vec<_>>(), [pid]);
    let runner = LocalRunner::open(machine.options()).await.unwrap();
    assert_eq!(runner.tasks(None).await.unwrap().len(), 1);
    runner.stop(&machine.app, &StopScope::All, Attempt::MAX).await.unwrap();
    eventually("it has ended", || async { runner.is_idle(&machine.app).await.unwrap().then_some(()) }).await;
    machine.remove(&third).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_that_are_not_of_an_app_are_left_alone() {
    let machine = Machine::new();
    let foreign = ["notes/today", "tasks/notes/today", "tasks/7"].map(|name| machine.run_dir().join(name));
    for folder in &foreign {
        fs::create_dir_all(folder.join("app")).unwrap();
    }
    let _scheduler = machine.open().await;
    let _runner = LocalRunner::open(machine.options()).await.unwrap();
    for folder in foreign {
        assert!(folder.join("app").exists(), "{}", folder.display());
    }
}
