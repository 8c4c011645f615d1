//! Pushes that work, over both transports.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use super::rig::{NODE, PYTHON, Rig, STATIC, Work, text, until};

#[test]
fn the_python_sample_is_live_after_a_push_over_http() {
    let rig = Rig::new();
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
    let rig = Rig::new();
    rig.app("pages", STATIC).git(&["push", "deis", "main"]);
    assert!(rig.get("pages.localhost").1.contains("Hello from a folder of files"));
    let node = Command::new("node").arg("--version").output();
    assert!(node.is_ok(), "this machine has no node, which the sample needs");
    rig.app("noder", NODE).git(&["push", "deis", "main"]);
    assert_eq!(rig.get("noder.localhost").1, "Hello from v2\n");
}

#[test]
fn a_push_over_ssh_and_a_clone_back() {
    let rig = Rig::new();
    let key = rig.path("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "ann@box", "-f"])
        .arg(&key)
        .output();
    assert!(made.as_ref().is_ok_and(|o| o.status.success()), "{made:?}");
    rig.deis(&["keys:add", &format!("{}.pub", key.display())]);
    assert!(rig.deis(&["keys"]).contains("ann@box"));
    let work = rig.app("secure", STATIC);
    let remote = format!("ssh://git@localhost:{}/secure.git", rig.ssh);
    let said = work.git(&["push", &remote, "main"]);
    assert!(said.contains("Done, secure:v2 deployed to Workflow"), "{said}");
    assert_eq!(rig.get("secure.localhost").0, 200);
    work.git(&["clone", "--quiet", &remote, "back"]);
    assert!(work.folder.join("back/index.html").is_file());
    assert!(work.git(&["push", &remote, "main"]).contains("up-to-date"));
    let (ok, said) = work.try_git(&["push", &format!("ssh://git@localhost:{}/nosuch.git", rig.ssh), "main"]);
    assert!(!ok && said.contains("there is no app"), "{said}");
    // A key that nobody registered opens nothing.
    rig.deis(&["keys:remove", "ann@box"]);
    let (ok, said) = work.try_git(&["ls-remote", &remote]);
    assert!(!ok && said.contains("Permission denied"), "{said}");
}

#[test]
fn what_was_built_before_is_not_built_again() {
    let rig = Rig::new();
    rig.app("one", STATIC).git(&["push", "deis", "main"]);
    let said = rig.app("two", STATIC).git(&["push", "deis", "main"]);
    assert!(said.contains("was built before"), "{said}");
    assert_eq!(rig.get("two.localhost").0, 200);
}

#[test]
fn tags_and_deletions_never_build_and_the_live_branch_stays() {
    let rig = Rig::new();
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
    let rig = Rig::new();
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
    let rig = Rig::new();
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
    let rig = Rig::new();
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
