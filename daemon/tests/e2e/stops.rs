//! Starts that fail, stops that are hurried, and what they leave.

use std::{
    fs,
    io::Write as _,
    net::{TcpListener, TcpStream},
    process::{Command, Output},
};

use rustix::process::Signal;

use super::test_platform::{STATIC, TestPlatform, text, until};

fn deisd(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_deisd")).args(args).output().unwrap()
}

#[test]
fn a_start_without_its_port_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = deisd(&["serve", "--data", data.to_str().unwrap(), "--http-listen", &address]);
    assert!(!output.status.success() && text(&output).contains("--http-listen"), "{}", text(&output));
    assert!(!data.exists());
}

#[test]
fn a_second_daemon_is_told_of_the_first_whatever_its_ports() {
    let rig = TestPlatform::new();
    let address = format!("127.0.0.1:{}", rig.http);
    let data = rig.path("data");
    let output = deisd(&["serve", "--data", data.to_str().unwrap(), "--http-listen", &address]);
    assert!(text(&output).contains("is in use by the daemon with pid"), "{}", text(&output));
}

#[test]
fn stopping_what_is_not_there_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = deisd(&["down", "--data", folder.path().to_str().unwrap()]);
    assert!(output.status.success() && text(&output).contains("There is nothing"), "{}", text(&output));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let mut rig = TestPlatform::new();
    let work = rig.app("slow", STATIC);
    work.commit(&[("Procfile", "web: exec python3 slow.py\n"), ("slow.py", SLOW)]);
    work.git(&["push", "deis", "main"]);
    // A request whose answer nobody waits for longer than a stop does.
    let mut stream = TcpStream::connect(("127.0.0.1", rig.http)).unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: slow.localhost\r\n\r\n").unwrap();
    until("the app has the request", || rig.deis(&["logs", "-a", "slow"]).contains("asked for /slow"));
    rig.signal(Signal::TERM);
    until("it takes no more connections", || TcpStream::connect(("127.0.0.1", rig.http)).is_err());
    rig.signal(Signal::TERM);
    assert_eq!(rig.wait().code(), Some(1), "requests in flight were cut off");
    rig.restart();
}

const SLOW: &str = r#"
import os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Slow(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            print("asked for /slow", flush=True)
            time.sleep(1000)
        self.send_response(200)
        self.end_headers()

    def log_request(self, *_):
        pass

ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Slow).serve_forever()
"#;
