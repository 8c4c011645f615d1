//! Pushes that work, over both transports.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use super::test_platform::{NODE, PYTHON, STATIC, TestPlatform, Work, text, until};

#[test]
fn the_python_sample_is_live_after_a_push_over_http() {
    let rig = TestPlatform::new();
    let work = rig.app("hello", PYTHON);
    let said = work.git(&["push", "deis", "main"]);
    for line in [
        "Starting build... but first, coffee!",
        "-----> Python app detected",
        "Build complete.",
        "Launching App...",
        "Done, hello:v2 deployed to Workflow",
    ] {
        assert!(said.contains(line), "{line:?} is missing in {said}");
    }
    assert_eq!(rig.get("hello.localhost"), (200, "Hello from v2\n".to_owned()));

    rig.deis(&["config:set", "GREETING=Bonjour", "-a", "hello"]);
    assert_eq!(rig.get("hello.localhost").1, "Bonjour from v3\n");
    rig.deis(&["scale", "web=3", "worker=1", "-a", "hello"]);
    let shown = rig.deis(&["ps", "-a", "hello"]);
    assert_eq!(shown.matches(" up (v3)").count(), 4, "{shown}");
    rig.deis(&["rollback", "v2", "-a", "hello"]);
    assert_eq!(rig.get("hello.localhost").1, "Hello from v4\n");
    let logs = rig.deis(&["logs", "-a", "hello", "-n", "200"]);
    for part in [
        "deis[controller]: INFO ann created initial release",
        "deis[controller]: INFO domain hello added",
        "hello[web.v2.",
        "listening on port",
    ] {
        assert!(logs.contains(part), "{part:?} is missing in {logs}");
    }
    let (code, said) = rig.try_deis(&["run", "-a", "hello", "--", "echo $GREETING; exit 7"]);
    assert_eq!(code, 7, "{said}");
}

#[test]
fn static_and_node_samples_are_live_after_a_push() {
    let rig = TestPlatform::new();
    rig.app("pages", STATIC).git(&["push", "deis", "main"]);
    assert!(rig.get("pages.localhost").1.contains("Hello from a folder of files"));
    let node = Command::new("node").arg("--version").output();
    assert!(node.is_ok(), "this machine has no node, which the sample needs");
    rig.app("noder", NODE).git(&["push", "deis", "main"]);
    assert_eq!(rig.get("noder.localhost").1, "Hello from v2\n");
}

#[test]
fn a_push_over_ssh_and_a_clone_back() {
    let rig = TestPlatform::new();
    let base = rig.with_key();
    assert!(rig.deis(&["keys"]).contains("ann@box"));
    let work = rig.app("secure", STATIC);
    let remote = format!("{base}/secure.git");
    let said = work.git(&["push", &remote, "main"]);
    assert!(said.contains("Done, secure:v2 deployed to Workflow"), "{said}");
    assert_eq!(rig.get("secure.localhost").0, 200);
    work.git(&["clone", "--quiet", &remote, "back"]);
    assert!(work.folder.join("back/index.html").is_file());
    assert!(work.git(&["push", &remote, "main"]).contains("up-to-date"));
    let (ok, said) = work.try_git(&["push", &format!("{base}/nosuch.git"), "main"]);
    assert!(!ok && said.contains("there is no app"), "{said}");
    // A key that nobody registered opens nothing.
    rig.deis(&["keys:remove", "ann@box"]);
    let (ok, said) = work.try_git(&["ls-remote", &remote]);
    assert!(!ok && said.contains("Permission denied"), "{said}");
}

#[test]
fn what_was_built_before_is_not_built_again() {
    let rig = TestPlatform::new();
    rig.app("one", STATIC).git(&["push", "deis", "main"]);
    let said = rig.app("two", STATIC).git(&["push", "deis", "main"]);
    assert!(said.contains("was built before"), "{said}");
    assert_eq!(rig.get("two.localhost").0, 200);
}

#[test]
fn tags_and_deletions_never_build_and_the_live_branch_stays() {
    let rig = TestPlatform::new();
    let work = rig.app("tagged", STATIC);
    work.git(&["push", "deis", "main"]);
    work.git(&["tag", "v1.0"]);
    let said = work.git(&["push", "deis", "v1.0"]);
    assert!(said.contains("Tags are never built"), "{said}");
    assert_eq!(rig.releases("tagged").len(), 2);
    let (ok, said) = work.try_git(&["push", "deis", ":main"]);
    assert!(!ok && said.contains("branch of the live release"), "{said}");
    work.git(&["push", "deis", ":v1.0"]);
}

#[test]
fn two_pushes_at_once_are_told_apart() {
    let rig = TestPlatform::new();
    let work = rig.app("slow", STATIC);
    let gate = rig.path("gate");
    work.commit(&[("bin/pre-compile", &held_by(&gate))]);
    let (first, said) = push_until_held(&work);
    let (ok, second) = work.try_git(&["push", "deis", "main:other"]);
    assert!(!ok && second.contains("Another git push is ongoing"), "{second}");
    assert!(second.contains("by ann, since"), "{second}");
    fs::write(&gate, "").unwrap();
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success(), "{}", text(&first));
    drop(said);
    work.git(&["push", "deis", "main:other"]);
}

#[test]
fn a_client_that_goes_away_does_not_end_the_build() {
    let rig = TestPlatform::new();
    let work = rig.app("alone", STATIC);
    let gate = rig.path("gate");
    work.commit(&[("bin/pre-compile", &held_by(&gate))]);
    let (mut push, said) = push_until_held(&work);
    push.kill().unwrap();
    push.wait().unwrap();
    drop(said);
    fs::write(&gate, "").unwrap();
    until("the app is live without its pusher", || rig.get("alone.localhost").0 == 200);
    until("the ref has moved", || work.try_git(&["push", "deis", "main"]).1.contains("up-to-date"));
    assert_eq!(rig.releases("alone").len(), 2);
}

#[test]
fn a_push_that_gives_way_to_a_rollback_fails_and_moves_no_ref() {
    let rig = TestPlatform::new();
    let work = rig.app("loser", PYTHON);
    work.git(&["push", "deis", "main"]);
    let before = work.git(&["ls-remote", "deis", "main"]);
    // A process that takes its time to listen.
    work.commit(&[("Procfile", "web: sleep 600\n")]);
    let mut push = work.git_command(&["push", "deis", "main"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(push.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("web 0 of 1 ready") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "the push ended before its rollout began");
    }
    rig.deis(&["rollback", "v2", "-a", "loser"]);
    let rest: Vec<String> = said.lines().map(Result::unwrap).collect();
    let rest = rest.join("\n");
    assert!(!push.wait().unwrap().success(), "{rest}");
    assert!(rest.contains("v3 was superseded by v4, which runs another build"), "{rest}");
    assert_eq!(work.git(&["ls-remote", "deis", "main"]), before);
    assert_eq!(rig.get("loser.localhost").0, 200);
}

#[test]
fn refs_that_cannot_be_written_never_deploy() {
    let rig = TestPlatform::new();
    let work = rig.app("strict", STATIC);
    work.git(&["push", "deis", "main"]);
    for (refspec, reason) in [
        ("main:refs/heads/main/x", "cannot create 'refs/heads/main/x'"),
        ("main:refs/heads/$(id)", "funny refname"),
        ("main:refs/notes/x", "only branches and tags are taken here"),
    ] {
        let (ok, said) = work.try_git(&["push", "deis", refspec]);
        assert!(!ok && said.contains(reason), "{said}");
    }
    assert_eq!(rig.releases("strict").len(), 2);
}

#[test]
fn locks_of_a_killed_daemon_block_nothing() {
    let mut rig = TestPlatform::new();
    let work = rig.app("locked", STATIC);
    work.git(&["push", "deis", "main"]);
    rig.kill();
    let repos: Vec<_> = fs::read_dir(rig.path("data/repos")).unwrap().flatten().collect();
    fs::write(repos[0].path().join("refs/heads/main.lock"), "").unwrap();
    rig.restart();
    work.commit(&[("more.html", "x")]);
    work.git(&["push", "deis", "main"]);
    assert!(work.git(&["push", "deis", "main"]).contains("up-to-date"));
}

#[test]
fn a_ref_that_could_not_be_moved_is_said_and_the_push_can_be_repeated() {
    let rig = TestPlatform::new();
    let work = rig.app("stuck", STATIC);
    work.git(&["push", "deis", "main"]);
    let repos: Vec<_> = fs::read_dir(rig.path("data/repos")).unwrap().flatten().collect();
    let lock = repos[0].path().join("refs/heads/main.lock");
    fs::write(&lock, "").unwrap();
    work.commit(&[("more.html", "x")]);
    let (ok, said) = work.try_git(&["push", "deis", "main"]);
    assert!(!ok && said.contains("v3 is live, but not every ref has moved"), "{said}");
    assert!(said.contains("it is locked or cannot be written"), "{said}");
    fs::remove_file(lock).unwrap();
    work.git(&["push", "deis", "main"]);
    assert!(work.git(&["push", "deis", "main"]).contains("up-to-date"));
}

#[test]
fn the_branch_of_the_live_build_is_known_by_its_name() {
    let rig = TestPlatform::new();
    let work = rig.app("named", STATIC);
    work.git(&["push", "deis", "main"]);
    // The same commit by another name, which is live now.
    work.git(&["push", "deis", "main:other"]);
    work.commit(&[("more.html", "x")]);
    work.git(&["push", "deis", "main"]);
    rig.deis(&["rollback", "v3", "-a", "named"]);
    let (ok, said) = work.try_git(&["push", "deis", ":other"]);
    assert!(!ok && said.contains("branch of the live release"), "{said}");
    rig.deis(&["rollback", "v2", "-a", "named"]);
    // Its tip has moved on, and its name is still the one that runs.
    let (ok, said) = work.try_git(&["push", "deis", ":main"]);
    assert!(!ok && said.contains("branch of the live release"), "{said}");
    // The live commit itself, but not the live branch.
    work.git(&["push", "deis", ":other"]);
}

#[test]
fn a_shallow_clone_can_be_made_deepened_and_pushed_from() {
    let rig = TestPlatform::new();
    let work = rig.app("history", STATIC);
    for name in ["two.html", "three.html"] {
        work.commit(&[(name, "x")]);
    }
    work.git(&["push", "deis", "main"]);
    let remote = format!("http://ann:{}@localhost:{}/history.git", rig.token(), rig.http);
    work.git(&["clone", "--quiet", "--depth", "1", &remote, "clone"]);
    let count = || work.git(&["-C", "clone", "rev-list", "--count", "HEAD"]).trim().to_owned();
    assert_eq!(count(), "1");
    fs::write(work.folder.join("clone/four.html"), "x").unwrap();
    work.git(&["-C", "clone", "add", "."]);
    work.git(&["-C", "clone", "commit", "--quiet", "--message", "four"]);
    work.git(&["-C", "clone", "push", &remote, "HEAD:main"]);
    work.git(&["-C", "clone", "fetch", "--quiet", "--depth", "3"]);
    assert_eq!(count(), "3");
    work.git(&["-C", "clone", "fetch", "--quiet", "--unshallow"]);
    assert_eq!(count(), "4");
    work.git(&["-C", "clone", "fsck", "--full"]);
    // Nothing of the server's own history was cut off by the push.
    work.git(&["clone", "--quiet", &remote, "whole"]);
    assert_eq!(work.git(&["-C", "whole", "rev-list", "--count", "HEAD"]).trim(), "4");
}

#[test]
fn a_buildpack_that_cannot_be_fetched_over_http_is_said_without_its_password() {
    let rig = TestPlatform::with(&["--buildpack-schemes", "http,https"]);
    let work = rig.app("user", STATIC);
    for (url, words) in [
        // The platform's own git asks who is there; a password is not sent without TLS.
        ("http://localhost:{port}/user.git#main", "cannot fetch http://localhost"),
        ("http://ann:{token}@localhost:{port}/user.git#main", "credentials in clear text"),
    ] {
        let url = url.replace("{port}", &rig.http.to_string()).replace("{token}", &rig.token());
        rig.deis(&["config:set", &format!("BUILDPACK_URL={url}"), "-a", "user"]);
        let (ok, said) = work.try_git(&["push", "deis", "main"]);
        assert!(!ok && said.contains(words) && !said.contains(&rig.token()), "{said}");
    }
}

#[test]
fn who_does_not_log_in_over_ssh_is_cut_off() {
    let rig = TestPlatform::new();
    let connect = || std::net::TcpStream::connect(("127.0.0.1", rig.ssh)).unwrap();
    let mut silent: Vec<_> = (0..16).map(|_| connect()).collect();
    let mut greeting = [0; 4];
    for socket in &mut silent {
        socket.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"SSH-");
    }
    // Within a second there is no place for one more of this address; after that, the oldest one gives way.
    let mut one_more = connect();
    one_more.read_exact(&mut greeting).unwrap();
    let mut said = Vec::new();
    if &greeting == b"SSH-" {
        let _ = silent[0].read_to_end(&mut said);
    } else {
        one_more.read_to_end(&mut said).unwrap();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("too many connections from this address that have not logged in"), "{said}");
    }
    for socket in &mut silent {
        // Ends at the server's own time; a reset is an end too.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    connect().read_exact(&mut greeting).unwrap();
}

#[test]
fn who_pushes_too_much_reads_so_over_http_too() {
    let rig = TestPlatform::with(&["--push-limit", "1"]);
    let work = rig.app("heavy", STATIC);
    // Nothing that compresses, and much more than what the sockets hold.
    let mut blob = Vec::with_capacity(12 << 20);
    let mut state = 1_u64;
    while blob.len() < 12 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        blob.extend_from_slice(&state.rotate_left(17).to_le_bytes());
    }
    fs::write(work.folder.join("blob"), blob).unwrap();
    work.commit(&[]);
    for _ in 0..4 {
        let (ok, said) = work.try_git(&["push", "deis", "main"]);
        assert!(!ok && said.contains("larger than 1 MiB"), "{said}");
    }
    assert_eq!(rig.releases("heavy").len(), 1);
}

/// A build step that waits for a file to appear.
fn held_by(gate: &Path) -> String {
    format!("#!/bin/sh\necho at-work\nwhile [ ! -e {} ]; do sleep 0.05; done\n", gate.display())
}

/// A push whose build is at its held step. What git goes on to say needs the reader kept.
fn push_until_held(work: &Work) -> (Child, BufReader<ChildStderr>) {
    let mut push = work.git_command(&["push", "deis", "main"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(push.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("at-work") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "the push ended before its build began");
    }
    (push, said)
}
