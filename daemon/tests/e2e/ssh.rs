//! Clients of the SSH server that are not git, or do not behave as it does.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::test_platform::{STATIC, TestPlatform, text, until};

pub(crate) fn ssh(rig: &TestPlatform, args: &[&str]) -> Command {
    let mut command = Command::new("ssh");
    command
        .args(["-F", "/dev/null", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no"])
        .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"])
        .arg("-i")
        .arg(rig.path("key"))
        .args(["-p", &rig.ssh.to_string()])
        .args(args)
        .stdin(Stdio::null());
    command
}

#[test]
fn who_does_not_finish_the_key_exchange_is_cut_off() {
    let rig = TestPlatform::new();
    rig.with_key();
    // As far as each kind of client gets: a name, the beginning of a packet, a packet that is none, a flood of names.
    let beginnings: [&[u8]; 4] = [
        b"SSH-2.0-slow\r\n",
        b"SSH-2.0-slow\r\n\x00\x00\x01\x00\x06\x14",
        b"SSH-2.0-slow\r\n\x00\x00\x00\x0c",
        b"hello\r\n",
    ];
    let mut slow: Vec<TcpStream> = (0..64)
        .map(|number| {
            let mut socket = TcpStream::connect(("127.0.0.1", rig.ssh)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let _ = socket.write_all(beginnings[number % beginnings.len()]);
            socket
        })
        .collect();
    for socket in &mut slow {
        // A reset is an end too; a silence of a minute is none.
        if let Err(error) = socket.read_to_end(&mut Vec::new()) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "still open after a minute");
        }
    }
    // All their places are free while they still hold their ends.
    let pong = ssh(&rig, &["git@localhost", "ping"]).output().unwrap();
    assert_eq!(text(&pong), "pong");
    drop(slow);
}

#[test]
fn every_request_gets_an_answer() {
    let rig = TestPlatform::new();
    rig.with_key();
    for (args, code, words) in [
        (&["git@localhost", "ping"][..], 0, "pong"),
        (&["-A", "git@localhost", "ping"], 0, "pong"),
        (&["-o", "SetEnv=LD_PRELOAD=x", "git@localhost", "ping"], 0, "pong"),
        (&["git@localhost", "sh -c id"], 127, "this command is not supported here"),
        (&["git@localhost", "git-upload-archive 'app'"], 127, "this command is not supported here"),
        (&["git@localhost", "git-receive-pack --help"], 127, "this command is not supported here"),
        (&["git@localhost", "scp -t /tmp"], 127, "this command is not supported here"),
        (&["-s", "git@localhost", "sftp"], 255, "subsystem request failed"),
        (&["-T", "git@localhost"], 255, "shell request failed"),
        (&["-W", "localhost:1", "git@localhost"], 255, ""),
        (&["git@localhost", "git-upload-pack 'nosuch.git'"], 1, "there is no app"),
    ] {
        let output = ssh(&rig, args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output));
        assert!(text(&output).contains(words), "{args:?}: {}", text(&output));
    }
}

#[test]
fn idle_clients_of_one_user_take_nothing_from_others() {
    let rig = TestPlatform::new();
    rig.with_key();
    let work = rig.app("busy", STATIC);
    // Over two connections, as many channels as each may have, and more.
    let mut idle: Vec<Child> = Vec::new();
    for connection in 0..2 {
        let path = format!("ControlPath={}", rig.path(&format!("m{connection}")).display());
        let mut master = ssh(&rig, &["-o", &path, "-M", "-N", "git@localhost"]).spawn().unwrap();
        until("the connection is there", || rig.path(&format!("m{connection}")).exists());
        for _ in 0..9 {
            let mut command = ssh(&rig, &["-o", &path, "git@localhost", "git-receive-pack 'busy.git'"]);
            idle.push(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        }
        assert!(master.try_wait().unwrap().is_none());
        idle.push(master);
    }
    let mut greetings = Vec::new();
    for client in idle.iter_mut().filter(|c| c.stdout.is_some()) {
        let mut head = [0; 8];
        client.stdout.as_mut().unwrap().read_exact(&mut head).unwrap();
        greetings.push(head[4..] == *b"ERR ");
    }
    assert_eq!(greetings.iter().filter(|refused| !**refused).count(), 16, "{greetings:?}");
    // None of them holds what a change of somebody else needs.
    rig.deis(&["config:set", "A=1", "-a", "busy"]);
    let (ok, said) = work.try_git(&["push", "deis", "main"]);
    assert!(!ok && said.contains("429"), "{said}");
    for client in &mut idle {
        let _ = client.kill();
        let _ = client.wait();
    }
    until("their places are free", || work.try_git(&["push", "deis", "main"]).0);
    assert_eq!(rig.get("busy.localhost").0, 200);
}
