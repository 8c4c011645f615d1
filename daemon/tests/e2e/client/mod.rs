//! The client: help, exit codes, JSON, and the promises of the command line.

mod forms;
mod login;
mod output;
mod processes;
mod remotes;
mod runs;
mod untrusted;

use std::process::Command;

use super::test_platform::{STATIC, TestPlatform, text};

#[test]
fn exit_codes_tell_what_happened() {
    let rig = TestPlatform::new();
    assert_eq!(rig.try_deis(&["apps"]).0, 0);
    assert_eq!(rig.try_deis(&["info", "-a", "nosuch"]).0, 1);
    assert_eq!(rig.try_deis(&["nonsense-command"]).0, 2);
    assert_eq!(rig.try_deis(&["config:set", "-a", "x"]).0, 2);
    assert_eq!(rig.try_deis(&["config:set", "NOEQUALS", "-a", "x"]).0, 2);
    let output = rig.deis_command(&["apps"]).env("DEIS_PROFILE", rig.path("nobody.json")).output().unwrap();
    assert_eq!(output.status.code(), Some(100), "{}", text(&output));
}

#[test]
fn every_command_has_help() {
    let rig = TestPlatform::new();
    let all = rig.deis(&["--help"]);
    let commands: Vec<&str> = all
        .lines()
        .skip_while(|l| !l.starts_with("Commands:"))
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.split_whitespace().next())
        .filter(|c| *c != "help")
        .collect();
    assert!(commands.len() > 30, "{all}");
    for command in commands {
        let help = rig.deis(&[command, "--help"]);
        assert!(help.contains("Usage: deis"), "{command}: {help}");
    }
    for verb in ["serve", "quickstart", "down", "config"] {
        let output = Command::new(env!("CARGO_BIN_EXE_deisd")).args([verb, "--help"]).output().unwrap();
        assert!(output.status.success() && text(&output).contains("--http-listen"), "{verb}");
    }
}

#[test]
fn reads_print_json_and_plans_change_nothing() {
    let rig = TestPlatform::new();
    rig.app("site", STATIC).git(&["push", "deis", "main"]);
    for args in [
        &["apps", "--json"][..],
        &["info", "-a", "site", "--json"],
        &["ps", "-a", "site", "--json"],
        &["config", "-a", "site", "--json"],
        &["builds", "-a", "site", "--json"],
        &["releases", "-a", "site", "--json"],
        &["releases:info", "v2", "-a", "site", "--json"],
        &["domains", "-a", "site", "--json"],
        &["keys", "--json"],
        &["whoami", "--json"],
        &["plan", "A=1", "-a", "site", "--json"],
    ] {
        let printed = rig.deis(args);
        assert!(serde_json::from_str::<serde_json::Value>(&printed).is_ok(), "{args:?}: {printed}");
    }
    let plan = rig.deis(&["plan", "A=1", "-a", "site"]);
    assert!(plan.contains("release: v3: ann added A") && plan.contains("replace: web"), "{plan}");
    let plan = rig.deis(&["plan", "--scale", "web=4", "-a", "site"]);
    assert!(plan.contains("start: web: 3 more (1 to 4)"), "{plan}");
    assert_eq!(rig.releases("site").len(), 2);
    assert!(rig.deis(&["config:set", "A=1", "-a", "site"]).contains("site is now at v3"));
    assert!(rig.deis(&["config:set", "A=1", "-a", "site"]).contains("no change"));
    for nothing in [&["plan", "A=1"][..], &["plan", "--scale", "web=1"]] {
        let plan = rig.deis(&[nothing, &["-a", "site"]].concat());
        assert!(plan.contains("There is nothing to do"), "{nothing:?}: {plan}");
    }
}

#[test]
fn a_second_daemon_is_told_who_has_the_folder() {
    let rig = TestPlatform::new();
    let output = Command::new(env!("CARGO_BIN_EXE_deisd"))
        .args([
            "serve",
            "--http-listen",
            "127.0.0.1:0",
            "--ssh-listen",
            "off",
            "--metrics-listen",
            "off",
            "--data",
        ])
        .arg(rig.path("data"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("in use by the daemon with pid"), "{}", text(&output));
    let output = Command::new(env!("CARGO_BIN_EXE_deisd"))
        .args(["serve", "--http-listen", &format!("127.0.0.1:{}", rig.http), "--data"])
        .arg(rig.path("other"))
        .output()
        .unwrap();
    assert!(text(&output).contains("--http-listen"), "{}", text(&output));
}

#[test]
fn destroying_an_app_leaves_nothing_of_it() {
    let rig = TestPlatform::new();
    let work = rig.app("gone", STATIC);
    work.git(&["push", "deis", "main"]);
    let (code, _) = rig.try_deis(&["destroy", "-a", "gone", "--confirm", "other"]);
    assert_eq!(code, 1);
    rig.deis(&["destroy", "-a", "gone", "--confirm", "gone"]);
    assert!(rig.pids().is_empty());
    assert_eq!(rig.get("gone.localhost").0, 404);
    rig.deis(&["create", "gone", "--no-remote"]);
    assert_eq!(rig.releases("gone").len(), 1);
    assert!(!rig.deis(&["logs", "-a", "gone"]).contains("v2"));
}
