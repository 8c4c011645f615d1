//! Every example is run, and must say what its index says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]

use std::{path::PathBuf, process::Command};

/// Cargo builds the examples of a package before its tests, beside them.
fn run(name: &str) -> String {
    let own: PathBuf = std::env::current_exe().unwrap();
    let program = own.parent().unwrap().parent().unwrap().join("examples").join(name);
    let output = Command::new(&program).output().unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn embed() {
    let said = run("embed");
    assert!(said.contains("Done") && said.contains("hello from an embedded platform"), "{said}");
}

#[test]
fn custom_scheduler() {
    let said = run("custom_scheduler");
    macro_rules! cases {
        ($($case:ident)*) => { [$(stringify!($case)),*] };
    }
    for case in deis_core::scheduler_cases!(cases;) {
        assert!(said.contains(&format!("passed: {case}\n")), "{case} is missing in {said}");
    }
    assert!(said.contains("apply generation"));
}

#[test]
fn plan_change() {
    let said = run("plan_change");
    assert!(said.contains("release: v3: ann added GREETING"), "{said}");
    assert!(said.contains("scale.worker") && said.contains("releases: 2"), "{said}");
}

#[test]
fn watch_events() {
    let said = run("watch_events");
    assert!(said.contains("AppCreated") && said.contains("ReleaseLive"), "{said}");
}
