//! Clients of the SSH server that are not git, or do not behave as it does.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    test_platform::{STATIC, TestPlatform, text, until},
    web::ask,
};

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

/// A user of the platform with a key: what it takes to log in over SSH and to call the API.
struct Carl {
    authorization: String,
}

impl Carl {
    fn register(rig: &TestPlatform) -> Self {
        let login = r#"{"username":"carl","password":"secret"}"#;
        let admin = format!("token {}", rig.token());
        let json = ("Content-Type", "application/json");
        let headers = [("Authorization", admin.as_str()), json];
        assert_eq!(ask(rig.http, "POST", "/v2/auth/register/", &headers, Some(login)).status, 201);
        let answer = ask(rig.http, "POST", "/v2/auth/login/", &[json], Some(login));
        let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        Self { authorization: format!("token {}", answer["token"].as_str().unwrap()) }
    }

    fn call(&self, rig: &TestPlatform, method: &str, path: &str, body: Option<serde_json::Value>) {
        let headers = [("Authorization", self.authorization.as_str()), ("Content-Type", "application/json")];
        let body = body.map(|body| body.to_string());
        let answer = ask(rig.http, method, path, &headers, body.as_deref());
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    }

    fn add_key(&self, rig: &TestPlatform) {
        let public = std::fs::read_to_string(rig.path("key.pub")).unwrap();
        let key = serde_json::json!({"id": "carls", "public": public.trim()});
        self.call(rig, "POST", "/v2/keys/", Some(key));
    }
}

#[test]
fn a_connection_does_not_outlive_its_key_or_its_user() {
    let rig = TestPlatform::new();
    rig.with_key();
    rig.deis(&["keys:remove", "ann@box"]);
    let mut number = 0;
    let mut connect = || {
        number += 1;
        let socket = rig.path(&format!("c{number}"));
        let path = format!("ControlPath={}", socket.display());
        let master = ssh(&rig, &["-o", &path, "-M", "-N", "git@localhost"]).spawn().unwrap();
        until("the connection is there", || socket.exists());
        (path, master)
    };
    let over = |path: &str, command: &str| {
        ssh(&rig, &["-o", path, "-o", "ControlMaster=no", "git@localhost", command]).output().unwrap()
    };
    let carl = Carl::register(&rig);
    carl.call(&rig, "POST", "/v2/apps/", Some(serde_json::json!({"id": "first"})));
    carl.add_key(&rig);
    let (path, mut master) = connect();
    assert!(text(&over(&path, "git-receive-pack 'first'")).contains("refs"), "the key is good");
    // The key goes, and the same key comes back: whoever logged in before has to log in again.
    carl.call(&rig, "DELETE", "/v2/keys/carls", None);
    carl.add_key(&rig);
    let refused = over(&path, "git-receive-pack 'first'");
    assert!(!refused.status.success() && !text(&refused).contains("refs"), "{}", text(&refused));
    until("the connection ends", || master.try_wait().unwrap().is_some());

    // The user goes, and somebody else takes the name, an app of the same name, and even the key.
    let (path, mut master) = connect();
    assert_eq!(text(&over(&path, "ping")), "pong");
    carl.call(&rig, "DELETE", "/v2/apps/first/", None);
    carl.call(&rig, "DELETE", "/v2/keys/carls", None);
    carl.call(&rig, "DELETE", "/v2/auth/cancel/", None);
    let other = Carl::register(&rig);
    other.call(&rig, "POST", "/v2/apps/", Some(serde_json::json!({"id": "carlapp"})));
    other.add_key(&rig);
    let refused = over(&path, "git-receive-pack 'carlapp'");
    assert!(!refused.status.success() && !text(&refused).contains("refs"), "{}", text(&refused));
    until("the connection ends", || master.try_wait().unwrap().is_some());
    let (path, mut master) = connect();
    assert!(text(&over(&path, "git-receive-pack 'carlapp'")).contains("refs"));
    let _ = master.kill();
    let _ = master.wait();
}

#[test]
fn what_strangers_send_is_no_error_of_the_daemon() {
    let rig = TestPlatform::new();
    // A name, then a good beginning of a key exchange, twice, where the second has no place.
    let mut kexinit = vec![20];
    kexinit.extend([7; 16]);
    let cipher = "chacha20-poly1305@openssh.com";
    let mac = "hmac-sha2-512-etm@openssh.com";
    for names in ["curve25519-sha256", "ssh-ed25519", cipher, cipher, mac, mac, "none", "none", "", ""] {
        kexinit.extend(u32::try_from(names.len()).unwrap().to_be_bytes());
        kexinit.extend(names.bytes());
    }
    kexinit.extend([0; 5]);
    let padding = 4 + (8 - (kexinit.len() + 9) % 8) % 8;
    let length = u32::try_from(kexinit.len() + padding + 1).unwrap();
    let mut packet = length.to_be_bytes().to_vec();
    packet.push(u8::try_from(padding).unwrap());
    packet.extend(kexinit);
    packet.resize(packet.len() + padding, 0);
    for _ in 0..20 {
        let mut socket = TcpStream::connect(("127.0.0.1", rig.ssh)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let both = [&b"SSH-2.0-odd\r\n"[..], &packet, &packet].concat();
        let _ = socket.write_all(&both);
        // The server ends it, for it is told what it cannot go on with.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    let log = std::fs::read_to_string(rig.path("deisd.log")).unwrap();
    let loud: Vec<&str> = log.lines().filter(|l| l.contains(" ERROR ") || l.contains("kex")).collect();
    assert!(loud.is_empty(), "{loud:#?}");
}
