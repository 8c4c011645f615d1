//! The platform process is killed with SIGKILL, and another one takes over.
//!
//! This executable is also the process that is killed, and the shim: `shim::run_if_asked` comes first, as in an
//! embedder's `main`.

#![allow(clippy::unwrap_used, clippy::future_not_send, reason = "a test that cannot go on shall end")]
#![allow(clippy::disallowed_methods, reason = "a test may block, and has nobody to take the time from")]

#[path = "local_machine/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use deis_core::{
    local::{LocalOptions, LocalRunner, LocalScheduler, ShimProgram, shim},
    model::{
        AppRef, AppUid, Attempt, Exit, Generation, Instance, InstanceState, Program, Task, TaskKind,
        TaskLife, TaskName, TaskState, Template, TemplateId,
    },
    port::{Cursor, Scheduler as _, TaskRunner as _, TaskRunnerExt as _},
};
use futures_util::FutureExt as _;
use support::{
    Machine, artifact, eventually, kill, probed, processes_of, serve, shim_of, tree, web, workload,
};

fn main() -> ExitCode {
    shim::run_if_asked();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, dir, uid] = &arguments[..]
        && mode == "be-killed"
    {
        runtime.block_on(be_killed(Path::new(dir), uid.parse().unwrap()));
    }
    let wanted = |name: &str| {
        let words: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
        words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
    };
    let (mut passed, mut failed) = (0, 0);
    macro_rules! cases {
        ($($case:ident)*) => { $(
            if wanted(stringify!($case)) {
                let result = runtime.block_on(std::panic::AssertUnwindSafe($case()).catch_unwind());
                println!("test {} ... {}", stringify!($case), if result.is_ok() { "ok" } else { "FAILED" });
                if result.is_ok() { passed += 1 } else { failed += 1 }
            }
        )* };
    }
    cases!(
        instances_live_on_and_keep_serving
        a_start_that_is_cut_off_anywhere_comes_right
        a_rollout_that_is_cut_off_anywhere_comes_right
        a_version_that_was_not_ready_is_not_ready_after_a_kill
        tasks_end_at_once
        tasks_end_even_if_their_shims_are_killed_too
        a_task_that_ended_well_before_a_kill_has_ended_well
        a_detached_task_goes_on_and_is_followed
    );
    println!("\n{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

fn options(machine: &Machine) -> LocalOptions {
    machine.options().with_shim(ShimProgram::ThisExecutable)
}

async fn open(machine: &Machine) -> LocalScheduler {
    LocalScheduler::open(options(machine)).await.unwrap()
}

/// The platform process: does what its standard input says, line by line, until it is killed.
async fn be_killed(dir: &Path, uid: uuid::Uuid) -> ! {
    let mut machine = Machine::at(dir);
    machine.app = AppRef { uid: AppUid(uid), ..machine.app.clone() };
    let scheduler = open(&machine).await;
    let runner = LocalRunner::open(options(&machine)).await.unwrap();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        match line.split_once(' ').unwrap() {
            ("task", command) => {
                runner.start(&task(&machine.app, command)).await.unwrap();
            }
            ("await", count) => {
                let count: usize = count.parse().unwrap();
                eventually("so many are ready", || async {
                    let seen = scheduler.observe(&machine.app).await.unwrap().instances;
                    (seen.iter().filter(|i| i.is_ready()).count() == count).then_some(())
                })
                .await;
            }
            ("probed", rest) => {
                let (generation, command) = rest.split_once(' ').unwrap();
                let generation = generation.parse().unwrap();
                scheduler.apply(&workload(&machine.app, generation, 2, probed(command))).await.unwrap();
            }
            (generation, command) => {
                let generation = generation.parse().unwrap();
                scheduler.apply(&workload(&machine.app, generation, 2, web(command))).await.unwrap();
            }
        }
        println!("done");
    }
    panic!("it was not killed");
}

fn task(app: &AppRef, command: &str) -> Task {
    let program = Program::Launch { artifact: artifact(), command: command.into() };
    let (name, limit) = (TaskName::new("one").unwrap(), Duration::from_secs(600));
    let task = Task::new(app.clone(), TaskKind::Release, name, program, limit);
    // `detached` as the first word is for this test.
    let life = if command.starts_with("detached") { TaskLife::Detached } else { TaskLife::Bound };
    Task { attempt: Attempt(1), life, ..task }
}

/// A platform process of its own.
struct Victim(Child);

impl Victim {
    fn start(machine: &Machine) -> Self {
        // What its shell ignores, no app must.
        let child = Command::new("sh")
            .args(["-c", "trap '' HUP QUIT; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["be-killed", machine.dir().to_str().unwrap(), &machine.app.uid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// Returns once it was accepted.
    fn command(&mut self, line: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n");
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two instances that serve, as their pids.
async fn serving(machine: &Machine) -> Vec<String> {
    eventually("two instances serve", || async {
        let pids: Vec<String> = ports(machine).into_iter().filter_map(ask).collect();
        (pids.len() == 2).then_some(pids)
    })
    .await
}

fn ports(machine: &Machine) -> Vec<u16> {
    let states = tree(&machine.app_dir()).into_iter().filter(|path| path.ends_with("state.json"));
    let ports = states.filter_map(|path| {
        let state: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        state["identity"]["port"].as_u64()
    });
    ports.map(|port| u16::try_from(port).unwrap()).collect()
}

/// What the server on this port answers: its pid.
fn ask(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.rsplit_once("\r\n\r\n")?.1.to_owned())
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

async fn instances_live_on_and_keep_serving() {
    let machine = Machine::new();
    let mut victim = Victim::start(&machine);
    victim.command(&format!("1 {}", serve()));
    let pids = sorted(serving(&machine).await);
    for pid in &pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
        let (hangup, quit) = (1 << 0, 1 << 2);
        assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & (hangup | quit), 0, "{ignored}");
    }
    victim.kill();
    assert_eq!(sorted(serving(&machine).await), pids, "nobody watches, and they serve");

    let scheduler = open(&machine).await;
    scheduler.apply(&workload(&machine.app, 1, 2, web(serve()))).await.unwrap();
    settled(&machine, &scheduler, &web(serve())).await;
    let adopted = scheduler.processes(&machine.app).iter().map(|p| p.pid.to_string()).collect();
    assert_eq!(sorted(adopted), pids);
    machine.remove(&scheduler).await;
}

/// Waits until two instances of this template are ready and nothing else is there.
async fn settled(machine: &Machine, scheduler: &LocalScheduler, template: &Template) {
    let id: TemplateId =
        workload(&machine.app, 1, 2, template.clone()).groups.into_values().next().unwrap().id;
    eventually("two ready instances and no others", || async {
        let seen = scheduler.observe(&machine.app).await.unwrap().instances;
        (seen.len() == 2 && seen.iter().all(|i| i.is_ready() && i.template == id)).then_some(())
    })
    .await;
    assert_eq!(processes_of(&machine.run_dir()).len(), 2, "{:?}", processes_of(&machine.run_dir()));
}

async fn a_start_that_is_cut_off_anywhere_comes_right() {
    for delay in [0, 1, 2, 4, 7, 11, 16, 25, 40, 80] {
        let machine = Machine::new();
        let mut victim = Victim::start(&machine);
        victim.command(&format!("1 {}", serve()));
        std::thread::sleep(Duration::from_millis(delay));
        victim.kill();
        let scheduler = open(&machine).await;
        assert_eq!(scheduler.observe(&machine.app).await.unwrap().generation, Generation(0));
        scheduler.apply(&workload(&machine.app, 1, 2, web(serve()))).await.unwrap();
        settled(&machine, &scheduler, &web(serve())).await;
        machine.remove(&scheduler).await;
    }
}

async fn a_rollout_that_is_cut_off_anywhere_comes_right() {
    for delay in [0, 3, 10, 30, 60, 100, 150, 250] {
        let machine = Machine::new();
        let mut victim = Victim::start(&machine);
        victim.command(&format!("1 {}", serve()));
        serving(&machine).await;
        let new = web(format!("true; {}", serve()));
        victim.command(&format!("4 {}", new.launch.command));
        std::thread::sleep(Duration::from_millis(delay));
        victim.kill();
        let scheduler = open(&machine).await;
        scheduler.apply(&workload(&machine.app, 4, 2, new.clone())).await.unwrap();
        let ready = |all: &[Instance]| all.iter().filter(|i| i.is_ready()).count();
        eventually("two are ready again", || async {
            (ready(&scheduler.observe(&machine.app).await.unwrap().instances) >= 2).then_some(())
        })
        .await;
        settled(&machine, &scheduler, &new).await;
        machine.remove(&scheduler).await;
    }
}

async fn a_version_that_was_not_ready_is_not_ready_after_a_kill() {
    let machine = Machine::new();
    let mut victim = Victim::start(&machine);
    let (old, new) = (probed(serve()), probed(format!("STATUS=500 {}", serve())));
    victim.command(&format!("probed 1 {}", old.launch.command));
    victim.command("await 2");
    victim.command(&format!("probed 4 {}", new.launch.command));
    eventually("a new one listens", || async {
        (ports(&machine).into_iter().filter_map(ask).count() == 3).then_some(())
    })
    .await;
    victim.kill();
    let scheduler = open(&machine).await;
    scheduler.apply(&workload(&machine.app, 4, 2, new.clone())).await.unwrap();
    let seen = eventually("the new one fails", || async {
        let seen = scheduler.observe(&machine.app).await.unwrap().instances;
        let failing = |i: &Instance| matches!(i.state, InstanceState::Failing { .. });
        seen.iter().any(failing).then_some(seen)
    })
    .await;
    let ready: Vec<&Instance> = seen.iter().filter(|i| i.is_ready()).collect();
    assert_eq!(ready.len(), 2, "{seen:?}");
    let id = workload(&machine.app, 1, 2, old).groups.into_values().next().unwrap().id;
    assert!(ready.iter().all(|i| i.template == id), "{ready:?}");
    machine.remove(&scheduler).await;
}

async fn tasks_end_even_if_their_shims_are_killed_too() {
    let machine = Machine::new();
    let mut victim = Victim::start(&machine);
    victim.command("task (setsid sh -c 'sleep 624; true' &); sleep 625 & sleep 626");
    eventually("the task and its children run", || async {
        (processes_of(&machine.run_dir()).len() >= 5).then_some(())
    })
    .await;
    let task = machine.task_folder("release-one-1");
    let shim = shim_of(&task);
    kill("STOP", &shim);
    victim.kill();
    kill("KILL", &shim);
    let _runner = LocalRunner::open(options(&machine)).await.unwrap();
    assert_eq!(processes_of(&machine.run_dir()), Vec::<String>::new());
}

async fn tasks_end_at_once() {
    let machine = Machine::new();
    let mut victim = Victim::start(&machine);
    victim.command(
        "task echo begun; trap '' TERM; (setsid sleep 621 &); sleep 622 & while :; do sleep 623; done",
    );
    eventually("the task and its children run", || async {
        (processes_of(&machine.run_dir()).len() >= 4).then_some(())
    })
    .await;
    victim.kill();
    let runner = LocalRunner::open(options(&machine)).await.unwrap();
    assert_eq!(processes_of(&machine.run_dir()), Vec::<String>::new());
    assert!(runner.is_idle(&machine.app).await.unwrap());
    // What it printed and that it was lost is still known, so that nobody runs it again.
    let task = task(&machine.app, "").reference();
    let seen = runner.observe(&task).await.unwrap();
    let ended = TaskState::Ended { exit: Exit::Lost, last_lines: vec!["begun".to_owned()] };
    assert_eq!((seen.fence, seen.state), (Attempt(1), ended));
}

async fn a_task_that_ended_well_before_a_kill_has_ended_well() {
    let machine = Machine::new();
    let mut victim = Victim::start(&machine);
    victim.command("task echo migrated");
    eventually("it has ended", || async {
        tree(&machine.run_dir()).iter().any(|path| path.ends_with("exit.json")).then_some(())
    })
    .await;
    victim.kill();
    let runner = LocalRunner::open(options(&machine)).await.unwrap();
    let seen = runner.observe(&task(&machine.app, "").reference()).await.unwrap();
    let ended = TaskState::Ended { exit: Exit::Code(0), last_lines: vec!["migrated".to_owned()] };
    assert_eq!(seen.state, ended);
}

async fn a_detached_task_goes_on_and_is_followed() {
    let machine = Machine::new();
    let mut victim = Victim::start(&machine);
    victim.command(
        "task detached=1; echo begun; while [ ! -e ../go ]; do sleep 0.05; done; echo ended; exit 6",
    );
    let folder = machine.task_folder("release-one-1");
    eventually("the task runs", || async { folder.join("main.json").exists().then_some(()) }).await;
    victim.kill();
    std::thread::sleep(Duration::from_millis(300));
    let runner = LocalRunner::open(options(&machine)).await.unwrap();
    let task = task(&machine.app, "").reference();
    assert_eq!(runner.observe(&task).await.unwrap().state, TaskState::Running);
    fs::write(folder.join("go"), "").unwrap();
    let lines = std::sync::Mutex::new(Vec::new());
    let each = |line| {
        lines.lock().unwrap().push(line);
        std::future::ready(())
    };
    assert_eq!(runner.follow_lines(&task, Cursor::START, each).await.unwrap(), Exit::Code(6));
    assert_eq!(lines.into_inner().unwrap(), ["begun", "ended"]);
    assert_eq!(processes_of(&machine.run_dir()), Vec::<String>::new());
}
