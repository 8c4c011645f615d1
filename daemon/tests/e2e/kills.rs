//! A daemon killed with SIGKILL in the middle of things, and started again.

use std::{
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use super::test_platform::{PYTHON, STATIC, TestPlatform, processes_with, until};

/// Dense numbers, each release with an end.
fn ledger_is_sound(rig: &TestPlatform, app: &str) {
    let numbers: Vec<u64> = rig.releases(app).iter().map(|r| r["version"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = (1..=numbers.len() as u64).rev().collect();
    assert_eq!(numbers, expected);
    assert!(rig.leftovers().is_empty(), "{:?}", rig.leftovers());
}

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn killed_in_the_middle_of_a_build() {
    let mut rig = TestPlatform::new();
    let work = rig.app("pushed", STATIC);
    work.git(&["push", "deis", "main"]);
    rig.deis(&["scale", "web=2", "-a", "pushed"]);
    let pids = rig.pids();
    // The second time it has nothing to wait for.
    let again = rig.path("again");
    let hook = format!("#!/bin/sh\n[ -e {} ] || sleep 654.321\n", again.display());
    work.commit(&[("bin/pre-compile", &hook)]);
    let mut push = spawn(&mut work.git_command(&["push", "deis", "main"]));
    let building = || !processes_with("sleep 654.321").is_empty();
    until("the build runs", building);
    rig.kill();
    until("no process of the build is left", || !building());
    assert!(!push.wait().unwrap().success());
    rig.restart();
    assert_eq!(rig.get("pushed.localhost").0, 200, "an app that runs answers as soon as the daemon does");
    assert_eq!(rig.pids(), pids, "instances that nothing replaced must keep their pids");
    ledger_is_sound(&rig, "pushed");
    assert_eq!(rig.releases("pushed").len(), 2);
    // The same commit can be pushed at once.
    std::fs::write(again, "").unwrap();
    work.git(&["push", "deis", "main"]);
    assert_eq!(rig.releases("pushed").len(), 3);
}

#[test]
fn killed_in_the_middle_of_a_rollout_of_a_push() {
    let mut rig = TestPlatform::new();
    let work = rig.app("rolled", STATIC);
    work.commit(&[("Procfile", "web: sleep 2; exec deis-static .\n")]);
    let mut push = spawn(&mut work.git_command(&["push", "deis", "main"]));
    until("the release is made", || rig.releases("rolled").len() == 2);
    rig.kill_and_restart();
    let _ = push.wait();
    until("the rollout is finished", || rig.get("rolled.localhost").0 == 200);
    until("the ref has moved", || !work.git(&["ls-remote", "deis", "main"]).is_empty());
    assert!(work.git(&["push", "deis", "main"]).contains("up-to-date"));
    ledger_is_sound(&rig, "rolled");
    assert_eq!(rig.releases("rolled").len(), 2);
}

#[test]
fn nobody_waits_for_a_push_whose_daemon_was_killed() {
    let mut rig = TestPlatform::new();
    let work = rig.app("stuck", STATIC);
    work.commit(&[("Procfile", "web: sleep 600\n")]);
    let mut push = spawn(&mut work.git_command(&["push", "deis", "main"]));
    until("the release is made", || rig.releases("stuck").len() == 2);
    rig.kill_and_restart();
    let _ = push.wait();
    // Neither the same commit, which would never be live, nor what mends it is held up by it.
    let mut again = spawn(&mut work.git_command(&["push", "deis", "main"]));
    until("the same commit is pushed", || rig.releases("stuck").len() == 3);
    rig.kill_and_restart();
    let _ = again.wait();
    work.commit(&[("Procfile", "web: exec deis-static .\n")]);
    let said = work.git(&["push", "deis", "main"]);
    assert!(said.contains("Done, stuck:v4 deployed to Workflow"), "{said}");
    assert_eq!(rig.get("stuck.localhost").0, 200);
    ledger_is_sound(&rig, "stuck");
}

#[test]
fn killed_in_the_middle_of_config_changes_and_scales() {
    let mut rig = TestPlatform::new();
    rig.app("busy", PYTHON).git(&["push", "deis", "main"]);
    rig.deis(&["scale", "worker=1", "-a", "busy"]);
    for (round, pause) in [5, 30, 60, 90, 130, 180].into_iter().enumerate() {
        let (before, old) = (rig.releases("busy").len(), settled(&rig, "busy"));
        let value = format!("ROUND={round}");
        let mut change = spawn(&mut rig.deis_command(&["config:set", &value, "-a", "busy"]));
        sleep(Duration::from_millis(pause));
        rig.kill_and_restart();
        let acknowledged = change.wait().unwrap().success();
        until("the app answers", || rig.get("busy.localhost").0 == 200);
        let made = rig.releases("busy").len() - before;
        assert!(
            made <= 1 && (made == 1 || !acknowledged),
            "round {round}: {made} releases, acknowledged: {acknowledged}"
        );
        let is_set = rig.deis(&["config", "-a", "busy"]).contains(&format!("{round}"));
        assert_eq!(is_set, made == 1, "round {round}");
        if made == 1 {
            until("everything is of the new release", || {
                settled(&rig, "busy").iter().all(|pid| !old.contains(pid))
            });
        } else {
            assert_eq!(settled(&rig, "busy"), old, "round {round}: nothing was changed");
        }

        let (before, old) = (rig.releases("busy").len(), settled(&rig, "busy"));
        let wanted = 1 + round % 3;
        let mut scale = spawn(&mut rig.deis_command(&["scale", &format!("web={wanted}"), "-a", "busy"]));
        sleep(Duration::from_millis(pause));
        rig.kill_and_restart();
        let acknowledged = scale.wait().unwrap().success();
        until("the app answers", || rig.get("busy.localhost").0 == 200);
        let new = settled(&rig, "busy");
        assert!(!acknowledged || new.len() == wanted + 1, "round {round}: {new:?}");
        let kept = new.iter().filter(|pid| old.contains(pid)).count();
        assert_eq!(kept, old.len().min(new.len()), "round {round}: {old:?} became {new:?}");
        assert_eq!(rig.releases("busy").len(), before, "a scale is no release");
    }
    ledger_is_sound(&rig, "busy");
}

/// The pids once what runs is what is wanted, and nothing else.
fn settled(rig: &TestPlatform, app: &str) -> Vec<u64> {
    let mut pids = Vec::new();
    until("what runs is what is wanted", || {
        let info: serde_json::Value =
            serde_json::from_str(&rig.deis(&["info", "-a", app, "--json"])).unwrap();
        let structure = info["structure"].as_object().unwrap();
        let wanted: u64 = structure.values().map(|n| n.as_u64().unwrap()).sum();
        let listed = info["pods"].as_array().unwrap();
        let are_up = listed.iter().all(|pod| pod["state"] == "up");
        pids = rig.pids();
        are_up && listed.len() as u64 == wanted && pids.len() as u64 == wanted && rig.orphans().is_empty()
    });
    pids
}
