//! What the SSH server is by default: its keys, its algorithms, whom it believes, and what it never starts.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output, Stdio},
};

use super::{
    ssh::ssh,
    test_platform::{STATIC, TestPlatform, text, until},
};

fn ping(rig: &TestPlatform, options: &[&str]) -> Output {
    let mut args = Vec::new();
    for option in options {
        args.extend(["-o", *option]);
    }
    args.extend(["git@localhost", "ping"]);
    ssh(rig, &args).output().unwrap()
}

/// Whether the `ssh` of this machine knows an algorithm at all.
fn is_known(kind: &str, name: &str) -> bool {
    let listed = Command::new("ssh").args(["-Q", kind]).output().unwrap();
    text(&listed).lines().any(|line| line == name)
}

#[test]
fn only_safe_algorithms_are_spoken() {
    let rig = TestPlatform::new();
    rig.with_key();
    for (option, kind, name, taken) in [
        ("KexAlgorithms", "kex", "mlkem768x25519-sha256", true),
        ("KexAlgorithms", "kex", "curve25519-sha256", true),
        ("KexAlgorithms", "kex", "ecdh-sha2-nistp256", true),
        ("KexAlgorithms", "kex", "diffie-hellman-group14-sha1", false),
        ("KexAlgorithms", "kex", "diffie-hellman-group14-sha256", false),
        ("KexAlgorithms", "kex", "diffie-hellman-group-exchange-sha256", false),
        ("Ciphers", "cipher", "chacha20-poly1305@openssh.com", true),
        ("Ciphers", "cipher", "aes256-gcm@openssh.com", true),
        ("Ciphers", "cipher", "aes128-gcm@openssh.com", true),
        ("Ciphers", "cipher", "aes128-ctr", false),
        ("Ciphers", "cipher", "aes256-cbc", false),
        ("HostKeyAlgorithms", "key", "ssh-ed25519", true),
        ("HostKeyAlgorithms", "key", "ecdsa-sha2-nistp256", true),
        ("HostKeyAlgorithms", "key-sig", "rsa-sha2-512", false),
    ] {
        if !is_known(kind, name) {
            continue;
        }
        let output = ping(&rig, &[&format!("{option}={name}")]);
        assert_eq!(output.status.success(), taken, "{option}={name}: {}", text(&output));
    }
    // A client that would like to compress is served without.
    let output = ssh(&rig, &["-vv", "-o", "Compression=yes", "git@localhost", "ping"]).output().unwrap();
    let said = text(&output);
    assert!(output.status.success() && said.contains("compression: none"), "{said}");
    assert!(said.contains("kex-strict-s-v00@openssh.com"), "{said}");
}

#[test]
fn a_key_is_the_only_way_in() {
    let rig = TestPlatform::new();
    rig.with_key();
    for methods in ["password", "keyboard-interactive", "hostbased", "none"] {
        let output = ping(&rig, &[&format!("PreferredAuthentications={methods}")]);
        let said = text(&output);
        assert!(!output.status.success() && said.contains("Permission denied (publickey)"), "{said}");
    }
    // A user's name is no identity, whatever it is.
    for user in ["root", "--", "nobody'; id", "\u{1b}[2J"] {
        let output = ssh(&rig, &["-l", user, "localhost", "ping"]).output().unwrap();
        // The client itself refuses some of them.
        assert!(text(&output) == "pong" || text(&output).contains("invalid"), "{user}: {}", text(&output));
    }
    // RSA by SHA-2 only, and no certificate, whoever signed it.
    let rsa = rig.path("rsa");
    let keygen = |args: &[&str]| {
        let made = Command::new("ssh-keygen").args(args).output().unwrap();
        assert!(made.status.success(), "{}", text(&made));
    };
    let path = rsa.to_str().unwrap();
    keygen(&["-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "ann@old", "-f", path]);
    rig.deis(&["keys:add", &format!("{path}.pub")]);
    let identity = format!("IdentityFile={path}");
    let with = |more: &str| {
        let args = ["-F", "/dev/null", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no"];
        let port = rig.ssh.to_string();
        let mut command = Command::new("ssh");
        command.args(args).args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]);
        command.args(["-o", "BatchMode=yes", "-o", &identity, "-o", more, "-p", &port]);
        command.args(["git@localhost", "ping"]).stdin(Stdio::null()).output().unwrap()
    };
    for (option, taken) in [
        ("PubkeyAcceptedAlgorithms=rsa-sha2-256", true),
        ("PubkeyAcceptedAlgorithms=rsa-sha2-512", true),
        ("PubkeyAcceptedAlgorithms=ssh-rsa", false),
    ] {
        let output = with(option);
        assert_eq!(output.status.success(), taken, "{option}: {}", text(&output));
    }
    let authority = rig.path("authority");
    keygen(&["-q", "-t", "ed25519", "-N", "", "-f", authority.to_str().unwrap()]);
    let (authority, key) = (authority.to_str().unwrap(), rig.path("key"));
    keygen(&["-q", "-s", authority, "-I", "ann", "-n", "git", &format!("{}.pub", key.display())]);
    let certificate = format!("CertificateFile={}-cert.pub", key.display());
    let only = "PubkeyAcceptedAlgorithms=ssh-ed25519-cert-v01@openssh.com";
    let output = ping(&rig, &[&certificate, only]);
    assert!(!output.status.success(), "{}", text(&output));
}

#[test]
fn host_keys_are_private_and_stay() {
    let mut rig = TestPlatform::new();
    let scanned = |rig: &TestPlatform| {
        let port = rig.ssh.to_string();
        let scan = Command::new("ssh-keyscan").args(["-p", &port, "127.0.0.1"]).output().unwrap();
        let keys = String::from_utf8(scan.stdout).unwrap();
        keys.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let before = scanned(&rig);
    assert_eq!(before.len(), 2, "{before:?}");
    assert!(!before.iter().any(|key| key.contains("ssh-rsa") || key.contains("ssh-dss")), "{before:?}");
    let mut found = 0;
    let mut folders = vec![rig.path("data")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
                assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o7777, 0o600, "{entry:?}");
                found += 1;
            }
        }
    }
    assert_eq!(found, 2);
    rig.kill_and_restart();
    assert_eq!(scanned(&rig), before);
}

#[test]
fn odd_commands_and_requests_harm_nobody() {
    let rig = TestPlatform::new();
    rig.with_key();
    let long = format!("git-receive-pack '{}'", "a".repeat(20_000));
    for command in [
        "GIT-RECEIVE-PACK 'app'",
        "git-receive-pack 'app' 'other'",
        "git-receive-pack 'app\nid'",
        "git-receive-pack \"app'",
        "git-receive-pack 'app'; id",
        "git-upload-pack --strict 'app'",
        "git-upload-pack '.git'",
        "ping x",
        "\u{1b}[2J",
        &long,
    ] {
        let output = ssh(&rig, &["git@localhost", command]).output().unwrap();
        let said = text(&output);
        assert!(matches!(output.status.code(), Some(1 | 127)), "{command:.60}: {said:.300}");
        assert!(said.contains("not supported here") || said.contains("there is no app"), "{said:.300}");
        assert!(said.len() < 300 && !said.contains('\u{1b}'), "{said:.300}");
    }
    // Nothing is forwarded, and the connection goes on without.
    for forward in ["0:localhost:1", "/tmp/never:localhost:1"] {
        let args = ["-R", forward, "git@localhost", "ping"];
        assert!(text(&ssh(&rig, &args).output().unwrap()).contains("pong"), "{forward:?}");
        let strictly = [&["-o", "ExitOnForwardFailure=yes"][..], &args[..]].concat();
        let output = ssh(&rig, &strictly).output().unwrap();
        assert!(!output.status.success(), "{forward:?}: {}", text(&output));
    }
    // No terminal; variables, and the protocol in a version that nobody speaks, change nothing.
    let terminal = ssh(&rig, &["-tt", "git@localhost", "ping"]).output().unwrap();
    assert!(text(&terminal).contains("PTY allocation request failed"), "{}", text(&terminal));
    let output = ping(&rig, &["SetEnv=GIT_PROTOCOL=version=9 GIT_DIR=/etc LD_PRELOAD=/nowhere"]);
    assert_eq!(text(&output), "pong");
}

#[test]
fn a_push_starts_no_git_and_checks_nothing_out() {
    let rig = TestPlatform::new();
    let remote = rig.with_key() + "/pure.git";
    let (gate, running) = (rig.path("gate"), rig.path("running"));
    let work = rig.app("pure", STATIC);
    let (until_gate, begun) = (gate.display(), running.display());
    let step = format!("#!/bin/sh\ntouch {begun}\nwhile [ ! -e {until_gate} ]; do sleep 0.05; done\n");
    work.commit(&[("bin/pre-compile", &step), (".gitattributes", "*.html filter=evil\n")]);
    let mut push = work.git_command(&["push", "--quiet", &remote, "main"]);
    let mut push = push.stderr(Stdio::piped()).spawn().unwrap();
    until("the build runs", || running.exists());
    // Of all processes whose files are those of the platform, none is a git.
    let data = rig.path("data").display().to_string();
    for process in super::test_platform::processes_with(&data) {
        assert!(!process.contains("git-") && !process.starts_with("git "), "{process}");
    }
    let repository = fs::read_dir(rig.path("data/repos")).unwrap().flatten().next().unwrap().path();
    let names: BTreeSet<String> = fs::read_dir(&repository)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(!names.contains("hooks") && !names.contains("index.html"), "{names:?}");
    fs::write(&gate, "").unwrap();
    let mut said = String::new();
    push.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(push.wait().unwrap().success(), "{said}");
    // A hook that somebody puts there is no program of ours.
    fs::create_dir_all(repository.join("hooks")).unwrap();
    let hook = repository.join("hooks/post-receive");
    let mut file = fs::File::create(&hook).unwrap();
    write!(file, "#!/bin/sh\ntouch {}\n", rig.path("hooked").display()).unwrap();
    drop(file);
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    work.commit(&[("more.html", "x")]);
    work.git(&["push", "--quiet", &remote, "main"]);
    assert!(!rig.path("hooked").exists());
}
