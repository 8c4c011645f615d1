//! The quick start: on a machine whose ports are taken, interrupted, repeated, and on a folder that is not its own.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::test_platform::{TestPlatform, processes_with, until};

struct Quickstart {
    child: Child,
    output: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Quickstart {
    fn start(data: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_deisd"))
            .args(["quickstart", "--data"])
            .arg(data)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, output }
    }

    /// Reads to the first line that contains these words; returns all lines until then.
    fn until(&mut self, words: &str) -> String {
        let mut seen = String::new();
        for line in self.output.by_ref() {
            seen += &line.unwrap();
            seen.push('\n');
            if seen.contains(words) {
                return seen;
            }
        }
        panic!("{words:?} is missing in {seen}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Interrupts it; returns whether it ended well, and the rest of what it said.
    fn end(mut self) -> (bool, String) {
        self.signal(Signal::INT);
        let rest = self.output.by_ref().map_while(Result::ok).collect::<Vec<_>>().join("\n");
        (self.child.wait().unwrap().success(), rest)
    }
}

#[test]
fn it_comes_through_taken_ports_and_an_interruption() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let taken: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("0.0.0.0:0").unwrap()).collect();
    let port = |n: usize| taken[n].local_addr().unwrap().port();
    let (http, ssh, metrics) =
        (format!("0.0.0.0:{}", port(0)), format!("127.0.0.1:{}", port(1)), format!("127.0.0.1:{}", port(2)));
    let args = ["--http-listen", &http, "--ssh-listen", &ssh, "--metrics-listen", &metrics];

    let mut first = Quickstart::start(&data, &args);
    first.until("$ git init");
    first.signal(Signal::KILL);
    first.child.wait().unwrap();
    until("its last step has ended", || processes_with(&data.to_string_lossy()).is_empty());

    // What a git leaves that was killed while it wrote its settings.
    let locked = data.join("quickstart/hello.unfinished/.git");
    std::fs::create_dir_all(&locked).unwrap();
    std::fs::write(locked.join("config.lock"), "").unwrap();
    let mut second = Quickstart::start(&data, &args);
    let said = second.until("Your app is live");
    assert!(said.contains("$ git push deis main") && !said.contains("$ deis register"), "{said}");
    let (ok, rest) = second.end();
    assert!(ok && rest.contains("Stopped 1 app(s)"), "{rest}");

    // Killed while it set the remote.
    let settings = data.join("quickstart/hello/.git");
    let removed = Command::new("git").args(["remote", "remove", "deis"]).current_dir(&settings).status();
    assert!(removed.unwrap().success());
    std::fs::write(settings.join("config.lock"), "").unwrap();
    let mut third = Quickstart::start(&data, &args);
    let said = third.until("Your app is live");
    assert!(!said.contains("$ git push") && !said.contains("$ deis create"), "{said}");
    assert!(said.contains("$ deis git:remote"), "{said}");
    assert!(third.end().0);
    until("nothing of it runs", || processes_with(&data.to_string_lossy()).is_empty());
}

#[test]
fn what_it_needs_is_looked_for_before_anything_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for args in [&["quickstart", "--data", data.to_str().unwrap()][..], &["quickstart", "--check"]] {
        let ended = Command::new(env!("CARGO_BIN_EXE_deisd"))
            .args(args)
            .env("PATH", folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains("needs git") && !said.contains("is up"), "{said}");
        assert!(!data.exists());
    }
}

#[test]
fn a_folder_that_is_somebodys_is_left_as_it_is() {
    let mut rig = TestPlatform::new();
    rig.kill();
    let mut quickstart = Quickstart::start(&rig.path("data"), &["--keep"]);
    let said = quickstart.until("Ctrl-C stops the daemon");
    assert!(said.contains("deis login http://localhost:"), "{said}");
    assert!(!said.contains("live") && !said.contains("DEIS_PROFILE") && !said.contains("cd "), "{said}");
    assert!(quickstart.end().0);
    assert!(!rig.path("data/quickstart").exists());
    rig.restart();
}

#[test]
fn a_check_that_is_interrupted_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_deisd"))
        .args(["quickstart", "--check"])
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    output.find(|line| line.as_ref().unwrap().contains("push to first 200")).unwrap().unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest = output.map_while(Result::ok).collect::<Vec<_>>().join("\n");
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest}");
    assert!(rest.contains("interrupted"), "{rest}");
    assert_eq!(processes_with(&folder.path().to_string_lossy()), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
