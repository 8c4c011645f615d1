//! Builds: their runs, what they printed, and that what they left is what runs.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, Stdio},
};

use super::{
    contract::Caller,
    test_platform::{STATIC, TestPlatform, Work, text, until},
};

/// Type, mode, number of names, link target and path of all that is in a folder.
const LIST: &str = "find . -mindepth 1 -printf '%y %m %n %l %p\n' | LC_ALL=C sort";

#[test]
fn what_a_build_left_is_what_an_instance_sees() {
    let rig = TestPlatform::new();
    let make = "umask 0; mkdir -p empty deep/er; echo s > secret; chmod 600 secret; echo r > deep/run; chmod 750 deep/run
        ln -s ../secret deep/er/link; ln -s nowhere dangling; ln secret twin; chmod 555 empty; touch -d '2001-02-03' old
        echo new > new; chmod 4755 new; chmod 755 new";
    let check = "for f in $(find . -type f | sort); do sha256sum $f; done; [ old -ot Procfile ] && [ Procfile -ot new ] && echo ordered";
    let look = format!("#!/bin/bash\n{LIST}\n{check}\n");
    let work = rig.app(
        "kept",
        &[
            ("Procfile", "web: bin/look | sed 's/^/SEEN /'; exec python3 -m http.server $PORT\n"),
            ("bin/look", &look),
            ("bin/pre-compile", &format!("#!/bin/bash\n{make}\n")),
            ("bin/post-compile", "#!/bin/bash\nbin/look | sed 's/^/LEFT /'\n"),
        ],
    );
    let said = work.git(&["push", "deis", "main"]);
    let after = |text: &str, mark: &str| -> Vec<String> {
        let found = text.lines().filter_map(|l| l.split_once(mark));
        found.map(|(_, line)| line.trim_end().to_owned()).collect()
    };
    let left = after(&said, "LEFT ");
    let seen = || after(&rig.deis(&["logs", "-n", "1000", "-a", "kept"]), "SEEN ");
    until("the instance has looked", || seen().len() >= left.len());
    assert_eq!(left, seen(), "{said}");
    assert!(left.iter().any(|l| l == "ordered"), "{left:?}");
    for line in
        ["f 600 2  ./secret", "d 555 2  ./empty", "f 750 1  ./deep/run", "l 777 1 ../secret ./deep/er/link"]
    {
        assert!(left.iter().any(|l| l == line), "{line}: {left:#?}");
    }
    // A command sees the same.
    let run: Vec<String> =
        rig.deis(&["run", "-a", "kept", "--", "bin/look"]).lines().map(str::to_owned).collect();
    assert_eq!(left, run);
}

#[test]
fn each_build_has_a_record_and_its_output_as_long_as_its_app_lives() {
    let mut rig = TestPlatform::new();
    let work = rig.app("runs", STATIC);
    work.git(&["push", "deis", "main"]);
    work.commit(&[("bin/pre-compile", "#!/bin/bash\nprintf 'a mark \\033]0;title\\007\\n'; exit 3\n")]);
    assert!(!work.try_git(&["push", "deis", "main"]).0);
    let list = rig.deis(&["builds", "-a", "runs"]);
    assert!(list.contains("2   failed") && list.contains("1   succeeded"), "{list}");
    let info = rig.deis(&["builds:info", "-a", "runs"]);
    assert!(info.contains("bin/pre-compile failed with exit code 3") && info.contains("ann"), "{info}");
    // As it was shown to whoever pushed: a terminal obeys nothing in it.
    let failed = rig.deis(&["builds:output", "-a", "runs"]);
    assert!(failed.contains("a mark ]0;title\n") && failed.contains("failed with exit code 3"), "{failed}");
    let (code, said) = rig.try_deis(&["builds:output", "-f", "-a", "runs"]);
    assert!(code == 1 && said.contains("build 2 of runs ended as failed: "), "{code}: {said}");
    let first = rig.deis(&["builds:output", "1", "-f", "-a", "runs"]);
    assert!(first.contains("-----> Static app detected") && !first.contains("a mark"), "{first}");
    let (code, said) = rig.try_deis(&["builds:info", "9", "-a", "runs"]);
    assert!(code == 1 && said.contains("No Build matches"), "{said}");
    let (code, said) = rig.try_deis(&["builds:cancel", "-a", "runs"]);
    assert!(code == 1 && said.contains("has ended already"), "{said}");
    let json: serde_json::Value =
        serde_json::from_str(&rig.deis(&["builds:info", "1", "--json", "-a", "runs"])).unwrap();
    let builds: serde_json::Value = Caller::ann(&rig).get("/v2/apps/runs/builds/").1;
    assert_eq!(json["build"], builds["results"][0]["uuid"], "{builds}");

    // Who may not see the app sees none of this.
    let bob = Caller::ann(&rig).registers("bob");
    for path in ["", "1/", "1/output", "1/output?follow=1"] {
        let path = format!("/v2/apps/runs/build-runs/{path}");
        assert_eq!(Caller::ann(&rig).get(&path).0, 200, "{path}");
        assert_eq!(bob.get(&path).0, 403, "{path}");
        assert_eq!(Caller::anonymous(&rig).get(&path).0, 401, "{path}");
    }
    assert_eq!(bob.delete("/v2/apps/runs/build-runs/1/").0, 403);

    // Another app has the same slug.
    let other = rig.app("other", STATIC);
    other.git(&["push", "deis", "main"]);
    let slugs = || fs::read_dir(rig.path("data/objects/slugs")).unwrap().count();
    assert_eq!((outputs(&rig).len(), slugs()), (3, 1));
    rig.deis(&["destroy", "-a", "runs", "--confirm", "runs"]);
    // What is left of apps that are gone is removed now and then, and at a start.
    rig.kill_and_restart();
    until("the outputs are gone", || outputs(&rig).len() == 1);
    rig.deis(&["restart", "-a", "other"]);
    rig.deis(&["destroy", "-a", "other", "--confirm", "other"]);
    rig.kill_and_restart();
    let left = || fs::read_dir(rig.path("data/objects/slugs")).map_or(0, Iterator::count);
    until("the slug and the output are gone", || outputs(&rig).is_empty() && left() == 0);
}

#[test]
fn of_many_builds_the_newest_are_kept() {
    let rig = TestPlatform::new();
    let work = rig.app("many", STATIC);
    // It takes no build to find out that this cannot be built.
    for n in 1..=51 {
        work.commit(&[("Procfile", &format!("none of {n}\n"))]);
        assert!(!work.try_git(&["push", "--quiet", "deis", "main"]).0);
    }
    let list = rig.deis(&["builds", "-a", "many", "--limit", "100"]);
    assert_eq!(list.lines().filter(|l| l.contains("failed")).count(), 50, "{list}");
    assert_eq!(outputs(&rig).len(), 50);
    assert_eq!(rig.try_deis(&["builds:output", "1", "-a", "many"]).0, 1);
    for number in ["2", "51"] {
        let said = rig.deis(&["builds:output", number, "-a", "many"]);
        assert!(said.contains(" !     "), "{said}");
    }
}

#[test]
fn a_build_is_followed_and_cancelled() {
    let rig = TestPlatform::new();
    let work = rig.app("slow", STATIC);
    work.git(&["push", "deis", "main"]);
    let push = held_push(&rig, &work, "slow");
    assert!(rig.deis(&["builds", "-a", "slow"]).contains("2   running"));
    let mut follower =
        rig.deis_command(&["builds:output", "-f", "-a", "slow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(follower.stdout.take().unwrap());
    // It comes while the build runs.
    let mut line = String::new();
    while !line.ends_with("held\n") {
        line.clear();
        assert_ne!(shown.read_line(&mut line).unwrap(), 0);
    }
    rig.deis(&["builds:cancel", "-a", "slow"]);
    let pushed = push.wait_with_output().unwrap();
    let said = text(&pushed);
    assert!(!pushed.status.success() && said.contains("the build was cancelled by ann"), "{said}");
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("the build was cancelled by ann"), "{rest}");
    assert_eq!(follower.wait().unwrap().code(), Some(1), "who follows learns that it did not succeed");
    let info = rig.deis(&["builds:info", "2", "-a", "slow"]);
    assert!(info.contains("cancelled by ann"), "{info}");
    assert_eq!(rig.releases("slow").len(), 2);
    // The next push finds everything free.
    work.commit(&[("bin/pre-compile", "#!/bin/bash\ntrue\n")]);
    work.git(&["push", "deis", "main"]);
    assert!(rig.deis(&["builds", "-a", "slow"]).contains("3   succeeded"));
}

#[test]
fn a_build_that_the_platform_did_not_outlive_is_interrupted_and_its_output_kept() {
    let mut rig = TestPlatform::new();
    let work = rig.app("killed", STATIC);
    let mut push = held_push(&rig, &work, "killed");
    rig.kill_and_restart();
    push.wait().unwrap();
    let info = rig.deis(&["builds:info", "-a", "killed"]);
    assert!(info.contains("interrupted"), "{info}");
    let said = rig.deis(&["builds:output", "-a", "killed"]);
    assert!(said.contains("held\n") && said.ends_with("the build was interrupted\n"), "{said}");
    let (code, said) = rig.try_deis(&["builds:output", "-f", "-a", "killed"]);
    assert!(code == 1 && said.contains("build 1 of killed ended as interrupted"), "{code}: {said}");
    work.commit(&[("bin/pre-compile", "#!/bin/bash\ntrue\n")]);
    work.git(&["push", "deis", "main"]);
    let list = rig.deis(&["builds", "-a", "killed"]);
    assert!(list.contains("2   succeeded") && list.contains("1   interrupted"), "{list}");
}

/// A push whose build has begun and goes on until it is ended.
fn held_push(rig: &TestPlatform, work: &Work, app: &str) -> Child {
    work.commit(&[("bin/pre-compile", "#!/bin/bash\necho held; sleep 100000\n")]);
    let mut push = work.git_command(&["push", "deis", "main"]);
    let push = push.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the build runs", || rig.try_deis(&["builds:output", "-a", app]).1.contains("held"));
    push
}

/// The files of all outputs that are kept.
fn outputs(rig: &TestPlatform) -> Vec<PathBuf> {
    let list = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    list(rig.path("data/objects/build-output")).flat_map(list).collect()
}
