//! What commands print.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::super::test_platform::TestPlatform;

#[test]
fn values_with_line_breaks_stay_values() {
    let rig = TestPlatform::new();
    rig.deis(&["create", "site", "--no-remote"]);
    rig.deis(&["config:set", "KEY=one\ntwo", "-a", "site"]);
    let config = |flag: &str| rig.deis(&["config", "-a", "site", flag]);
    assert!(rig.deis(&["config", "-a", "site"]).contains("KEY   one\n      two\n"));
    assert_eq!(config("--diff"), "KEY=one\\ntwo\n");
    assert_eq!(config("--oneline"), "$'KEY=one\\ntwo'\n");
    let (code, said) = rig.try_deis(&["config:unset", "NOPE", "-a", "site"]);
    assert!(
        code == 1 && said.contains("Unable to process your request: NOPE does not exist"),
        "{code}: {said}"
    );
}

#[test]
fn times_are_relative_and_an_app_needs_no_domain() {
    let rig = TestPlatform::new();
    rig.deis(&["create", "site", "--no-remote"]);
    let releases = rig.deis(&["releases", "-a", "site"]);
    assert!(releases.contains(" ago ") || releases.contains("just now"), "{releases}");
    rig.deis(&["domains:remove", "site", "-a", "site"]);
    let info = rig.deis(&["info", "-a", "site"]);
    assert!(info.contains("none, for it has no domain"), "{info}");
    assert_eq!(rig.try_deis(&["open", "-a", "site"]).0, 1);
}

#[test]
fn a_log_is_text_or_json_and_tells_why_it_ends() {
    let mut rig = TestPlatform::new();
    rig.deis(&["create", "site", "--no-remote"]);
    rig.deis(&["config:set", "A=1", "-a", "site"]);
    let lines = rig.deis(&["logs", "-a", "site", "--json"]);
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["source"] == "controller" && line["time"].is_string(), "{line}");
    }
    assert!(!lines.is_empty());
    let (_, said) = rig.try_deis(&["logs", "-a", "site", "-p", "worker"]);
    assert!(said.contains("no log messages of the process type worker"), "{said}");
    assert_eq!(rig.try_deis(&["logs", "-a", "site", "-n", "0"]), (0, String::new()));

    let mut child = follow(&rig);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let (code, said) = end(&mut child);
    assert!(code == 130 && said.contains("Detached"), "{code}: {said}");
    let mut child = follow(&rig);
    rig.kill();
    let (code, said) = end(&mut child);
    assert!(code == 1 && said.contains("run it again"), "{code}: {said}");
    rig.restart();
}

/// A client that follows the log and has shown a line of it.
fn follow(rig: &TestPlatform) -> Child {
    let mut command = rig.deis_command(&["logs", "-t", "-a", "site"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("deis[controller]"), "{line}");
    child
}

fn end(child: &mut Child) -> (i32, String) {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code().unwrap(), said)
}
