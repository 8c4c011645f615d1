//! `deis run` as a pipe and as a terminal, and commands that run by themselves.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use super::super::test_platform::{STATIC, TestPlatform, processes_with, text, until};

fn site() -> TestPlatform {
    let rig = TestPlatform::new();
    rig.app("site", STATIC).git(&["push", "deis", "main"]);
    rig
}

fn run(rig: &TestPlatform, words: &[&str]) -> Command {
    rig.deis_command(&[&["run", "-a", "site"], words].concat())
}

/// Standard output, standard error and exit code.
fn output(rig: &TestPlatform, words: &[&str]) -> (Vec<u8>, String, i32) {
    let output = run(rig, words).output().unwrap();
    let code = output.status.code().unwrap_or(-1);
    (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned(), code)
}

fn piped(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn first_line(child: &mut Child) -> (String, BufReader<std::process::ChildStdout>) {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    (line, out)
}

#[test]
fn data_arrives_as_it_is() {
    let rig = site();
    // Bytes that no text and no short pattern are, more than is kept anywhere on the way.
    let mut bytes = Vec::with_capacity(50 << 20);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    while bytes.len() < 50 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    fs::write(rig.path("in"), &bytes).unwrap();
    let child = run(&rig, &["cat"])
        .stdin(File::open(rig.path("in")).unwrap())
        .stdout(File::create(rig.path("out")).unwrap())
        .stderr(Stdio::piped())
        .spawn();
    let output_of_cat = child.unwrap().wait_with_output().unwrap();
    assert!(output_of_cat.status.success() && output_of_cat.stderr.is_empty(), "{}", text(&output_of_cat));
    let back = fs::read(rig.path("out")).unwrap();
    assert!(back == bytes, "{} of {} bytes", back.len(), bytes.len());

    assert_eq!(output(&rig, &["--", "python3", "-c", "print('x'*200000)"]).0.len(), 200_001);
    assert_eq!(output(&rig, &[r"printf '\377\376\000a\nb'"]).0, b"\xff\xfe\0a\nb");
    assert_eq!(output(&rig, &["printf a; sleep 1.3; printf b"]).0, b"ab");
    let (stdout, stderr, code) = output(&rig, &["echo out; echo err >&2; exit 3"]);
    assert_eq!((&stdout[..], &stderr[..], code), (&b"out\n"[..], "err\n", 3));
    assert_eq!(output(&rig, &["kill -9 $$"]).2, 137);
    let (stdout, _, code) = output(&rig, &["-e", "GREETING=a b", "--", "printenv", "GREETING"]);
    assert_eq!((&stdout[..], code), (&b"a b\n"[..], 0));
    // Without input there is none.
    assert_eq!(output(&rig, &["wc -c"]).0, b"0\n");
}

#[test]
fn a_slow_reader_gets_everything() {
    let rig = site();
    let mut child = piped(run(&rig, &["head -c 30000000 /dev/zero | tr '\\0' x; echo done >&2"]));
    let mut out = child.stdout.take().unwrap();
    let (mut total, mut buffer) = (0, vec![0; 1 << 20]);
    sleep(Duration::from_secs(2));
    loop {
        let n = out.read(&mut buffer).unwrap();
        if n == 0 {
            break;
        }
        assert!(buffer[..n].iter().all(|b| *b == b'x'));
        total += n;
        if total % 7 == 0 {
            sleep(Duration::from_millis(1));
        }
    }
    assert_eq!(total, 30_000_000);
    assert!(child.wait().unwrap().success());
}

#[test]
fn output_is_live_and_ctrl_c_is_a_signal() {
    let rig = site();
    let script = "trap 'echo caught; exit 7' INT; echo up; while :; do sleep 0.1; done";
    let mut child = piped(run(&rig, &[script]));
    let (line, mut out) = first_line(&mut child);
    assert_eq!(line, "up\n");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((&rest[..], child.wait().unwrap().code()), ("caught\n", Some(7)));
}

#[test]
fn a_command_ends_with_its_client_and_with_its_daemon() {
    let mut rig = site();
    let mut child = piped(run(&rig, &["echo up; sleep 631"]));
    assert_eq!(first_line(&mut child).0, "up\n");
    child.kill().unwrap();
    child.wait().unwrap();
    until("the command of a killed client ends", || processes_with("sleep 631").is_empty());

    let mut child = piped(run(&rig, &["echo up; sleep 632"]));
    assert_eq!(first_line(&mut child).0, "up\n");
    rig.kill();
    until("the command of a killed daemon ends", || processes_with("sleep 632").is_empty());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    rig.restart();
    assert_eq!(output(&rig, &["echo again"]).0, b"again\n");
}

#[test]
fn detached_commands_are_listed_followed_and_stopped() {
    let mut rig = site();
    let start =
        |rig: &TestPlatform, command| rig.deis(&["run", "-a", "site", "--detach", command]).trim().to_owned();
    let lasting = start(&rig, "echo first; sleep 633");
    let waits = rig.path("go");
    let short = start(
        &rig,
        &format!("echo begun; while [ ! -e {} ]; do sleep 0.1; done; echo ended; exit 6", waits.display()),
    );
    let listed = rig.deis(&["ps", "-a", "site"]);
    assert!(listed.contains("--- run:") && listed.contains(&lasting) && listed.contains(&short), "{listed}");
    let json: serde_json::Value = serde_json::from_str(&rig.deis(&["ps", "-a", "site", "--json"])).unwrap();
    assert!(!json["results"].to_string().contains(&lasting), "pods are no runs: {json}");
    assert!(json["runs"].to_string().contains(&lasting), "{json}");
    // They do not end with the daemon.
    rig.kill_and_restart();
    assert!(rig.deis(&["ps", "-a", "site"]).contains(&short));
    let mut follows = piped(rig.deis_command(&["ps:attach", &short, "-a", "site"]));
    let (line, mut out) = first_line(&mut follows);
    assert_eq!(line, "begun\n");
    fs::write(&waits, "").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((&rest[..], follows.wait().unwrap().code()), ("ended\n", Some(6)));
    rig.deis(&["ps:stop", &lasting, "-a", "site"]);
    until("it has ended", || processes_with("sleep 633").is_empty());
    until("it is no longer listed", || !rig.deis(&["ps", "-a", "site"]).contains(&lasting));
    let (code, said) = rig.try_deis(&["ps:stop", "run-nosuch", "-a", "site"]);
    assert!(code == 1 && said.contains("No Run matches"), "{code}: {said}");
}

#[test]
fn input_that_is_left_unread_costs_neither_the_code_nor_output() {
    let rig = site();
    fs::write(rig.path("zeros"), vec![0; 50_000_000]).unwrap();
    let fed = |words: &[&str]| {
        let mut command = run(&rig, words);
        command.stdin(File::open(rig.path("zeros")).unwrap()).output().unwrap()
    };
    for _ in 0..20 {
        let output = fed(&["true"]);
        assert!(output.status.success(), "{}", text(&output));
    }
    for _ in 0..10 {
        let output = fed(&["head -c 20000000 /dev/zero; exit 4"]);
        assert_eq!((output.stdout.len(), output.status.code()), (20_000_000, Some(4)));
    }
    // What is refused is told, too.
    rig.deis(&["create", "empty", "--no-remote"]);
    for _ in 0..10 {
        let mut command = rig.deis_command(&["run", "-a", "empty", "true"]);
        let output = command.stdin(File::open(rig.path("zeros")).unwrap()).output().unwrap();
        assert!(text(&output).contains("No build associated"), "{}", text(&output));
    }
}

#[test]
fn a_reader_that_pauses_before_the_last_bytes_loses_nothing() {
    let rig = site();
    let mut child = piped(run(&rig, &["seq 1 5000000; exit 3"]));
    let mut all = vec![0; 38_888_896];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut all[..38_000_000]).unwrap();
    // Longer than a client may be silent, and what is sent to it unread.
    sleep(Duration::from_secs(75));
    out.read_exact(&mut all[38_000_000..]).unwrap();
    assert_eq!(out.read(&mut [0]).unwrap(), 0);
    assert!(all.ends_with(b"4999999\n5000000\n"));
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_command_ends_with_a_request_that_was_given_up() {
    let rig = site();
    let body = r#"{"command":"sleep 636"}"#;
    let request = format!(
        "POST /v2/apps/site/run HTTP/1.1\r\nHost: localhost\r\nAuthorization: token {}\r\nContent-Length: {}\r\n\r\n{body}",
        rig.token(),
        body.len()
    );
    let mut asks = std::net::TcpStream::connect(("127.0.0.1", rig.http)).unwrap();
    asks.write_all(request.as_bytes()).unwrap();
    until("it runs", || !processes_with("sleep 636").is_empty());
    drop(asks);
    until("it has ended", || processes_with("sleep 636").is_empty());
}

#[test]
fn many_that_start_at_once_are_no_more_than_may_run() {
    let rig = site();
    let token = format!("token {}", rig.token());
    let start = || {
        let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        let body = Some(r#"{"command":"sleep 637"}"#);
        super::super::web::ask(rig.http, "POST", "/v2/apps/site/runs", &headers, body).status
    };
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..60).map(|_| scope.spawn(start)).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!((count(201), count(409)), (32, 28), "{answers:?}");
}

#[test]
fn what_goes_on_without_its_daemon_is_called_that() {
    let mut rig = site();
    let name = rig.deis(&["run", "-a", "site", "--detach", "echo up; sleep 638"]).trim().to_owned();
    let mut follows = piped(rig.deis_command(&["ps:attach", &name, "-a", "site"]));
    let (line, _out) = first_line(&mut follows);
    assert_eq!(line, "up\n");
    rig.kill();
    let said = text(&follows.wait_with_output().unwrap());
    let again = format!("it goes on: `deis ps:attach {name} -a site` follows it again");
    assert!(said.contains(&again), "{said}");
    rig.restart();
    rig.deis(&["ps:stop", &name, "-a", "site"]);
    until("it has ended", || processes_with("sleep 638").is_empty());
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let rig = site();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let ours = openpt(flags).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let theirs = ioctl_tiocgptpeer(&ours, flags).unwrap();
    let lines = || tcgetattr(&theirs).unwrap().local_modes.contains(LocalModes::ICANON);
    assert!(lines());
    for signal in [Signal::TERM, Signal::HUP, Signal::QUIT] {
        let mut command = run(&rig, &["sleep 639"]);
        for set in [Command::stdin, Command::stdout, Command::stderr] {
            set(&mut command, theirs.try_clone().unwrap());
        }
        let mut child = command.spawn().unwrap();
        until("the terminal is raw", || !lines());
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(ended.signal(), Some(signal.as_raw()), "{ended:?}");
        assert!(lines(), "after {signal:?}");
    }
    until("the commands end with their client", || processes_with("sleep 639").is_empty());
}

#[test]
fn a_terminal_is_one_there() {
    let rig = site();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let ours = openpt(flags).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let size = |columns, rows| {
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&ours, size).unwrap();
    };
    size(93, 27);
    let theirs = || ioctl_tiocgptpeer(&ours, flags).unwrap();
    let mut command = run(&rig, &["exec bash --norc --noediting -i"]);
    command.stdin(theirs()).stdout(theirs()).stderr(theirs()).env("TERM", "xterm-test");
    let mut child = command.spawn().unwrap();
    drop(command);
    let (mut keys, mut screen) =
        (File::from(ours.try_clone().unwrap()), File::from(ours.try_clone().unwrap()));
    let (sender, shown) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = screen.read(&mut buffer) {
            if sender.send(String::from_utf8_lossy(&buffer[..n]).into_owned()).is_err() {
                return;
            }
        }
    });
    let mut all = String::new();
    let mut awaits = |words: &str| {
        while !all.contains(words) {
            let more = shown.recv_timeout(Duration::from_secs(60));
            all.push_str(&more.unwrap_or_else(|e| panic!("{e}: no {words:?} in {all:?}")));
        }
        all.clear();
    };
    let mut types = |words: &str| keys.write_all(words.as_bytes()).unwrap();
    types("PS1='at''-once> '\n");
    awaits("at-once> ");
    types("echo size $(stty size) $TERM\n");
    awaits("size 27 93 xterm-test");
    size(71, 19);
    kill_process(Pid::from_child(&child), Signal::WINCH).unwrap();
    types("sleep 0.5; echo now $(stty size)\n");
    awaits("now 19 71");
    // Ctrl-C ends what runs in the foreground there, and neither the shell nor this client.
    types("sleep 634\n");
    until("it sleeps", || !processes_with("sleep 634").is_empty());
    types("\u{3}");
    types("echo code-$?-said\n");
    awaits("code-130-said");
    types("exit 5\n");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn too_many_are_told_so() {
    let rig = site();
    let mut attached: Vec<Child> = (0..16).map(|_| piped(run(&rig, &["echo up; sleep 635"]))).collect();
    for child in &mut attached {
        assert_eq!(first_line(child).0, "up\n");
    }
    let (_, said, code) = output(&rig, &["echo one more"]);
    assert!(code == 1 && said.contains("attached to 16 commands"), "{code}: {said}");
    for mut child in attached {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    until("there is room again", || output(&rig, &["echo one more"]).0 == b"one more\n");
}
