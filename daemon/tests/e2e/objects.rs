//! What stays of a push in the repository of its app.

use std::fs;

use super::test_platform::{STATIC, TestPlatform, processes_with, until};

/// The packs of the only repository.
fn packs(rig: &TestPlatform) -> Vec<String> {
    let repos: Vec<_> = fs::read_dir(rig.path("data/repos")).unwrap().flatten().collect();
    let files = fs::read_dir(repos[0].path().join("objects/pack")).into_iter().flatten().flatten();
    let mut names: Vec<String> = files.map(|f| f.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_push_that_fails_leaves_no_objects() {
    let mut rig = TestPlatform::new();
    let work = rig.app("clean", STATIC);
    work.git(&["push", "deis", "main"]);
    let before = packs(&rig);
    assert!(!before.iter().any(|name| name.ends_with(".pending")), "{before:?}");
    // A build that fails, a release that fails, refs that are refused.
    work.commit(&[("bin/pre-compile", "#!/bin/sh\nexit 3\n")]);
    assert!(!work.try_git(&["push", "deis", "main"]).0);
    work.commit(&[("bin/pre-compile", "#!/bin/sh\n"), ("Procfile", "web: exit 4\n")]);
    assert!(!work.try_git(&["push", "deis", "main"]).0);
    assert!(!work.try_git(&["push", "deis", "main:refs/notes/x"]).0);
    assert_eq!(packs(&rig), before);
    // A kill in the middle of a build.
    work.commit(&[("bin/pre-compile", "#!/bin/sh\nsleep 543.21\n"), ("Procfile", "")]);
    let mut push = work.git_command(&["push", "--quiet", "deis", "main"]).spawn().unwrap();
    until("the build runs", || !processes_with("sleep 543.21").is_empty());
    assert_eq!(packs(&rig).len(), before.len() + 3, "pack, index and mark");
    rig.kill();
    let _ = push.wait();
    rig.restart();
    until("the pack of the interrupted push is gone", || packs(&rig) == before);
    // What is good stays, and the same commits arrive again.
    work.commit(&[("bin/pre-compile", "#!/bin/sh\n")]);
    work.git(&["push", "deis", "main"]);
    assert_eq!(packs(&rig).len(), before.len() + 2);
    let remote = format!("http://ann:{}@localhost:{}/clean.git", rig.token(), rig.http);
    work.git(&["clone", "--quiet", &remote, "back"]);
    work.git(&["-C", "back", "fsck", "--full", "--strict"]);
}
