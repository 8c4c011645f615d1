//! Apps and the daemon are apart: what one has, the other does not.

use std::{fs, path::PathBuf};

use super::test_platform::{STATIC, TestPlatform, until};

/// Soft limit of open files.
fn open_files(pid: &str) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn apps_inherit_nothing_from_the_shell_that_started_the_daemon() {
    let rig = TestPlatform::new();
    rig.app("apart", STATIC).git(&["push", "deis", "main"]);
    let app = rig.pids()[0];
    let status = fs::read_to_string(format!("/proc/{app}/status")).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    assert_eq!(ignored & 0b101, 0, "the daemon ignores SIGHUP and SIGQUIT, and its apps do not");
    let shim = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
    for pid in [app.to_string().as_str(), shim] {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let open: Vec<PathBuf> = open.filter_map(|fd| fs::read_link(fd.path()).ok()).collect();
        assert!(!open.contains(&rig.path("inherited")), "{open:?}");
        assert_eq!(open_files(pid), open_files("self"));
    }
}

#[test]
fn logs_outlive_a_stop_of_everything() {
    let mut rig = TestPlatform::new();
    rig.app("quiet", STATIC).git(&["push", "deis", "main"]);
    until("it has said something", || rig.deis(&["logs", "-a", "quiet"]).contains("serving"));
    let before = rig.deis(&["logs", "-a", "quiet"]);
    rig.down();
    assert!(rig.pids().is_empty());
    rig.restart();
    let first = before.lines().find(|line| line.contains("serving")).unwrap();
    let after = rig.deis(&["logs", "-a", "quiet", "-n", "1000"]);
    assert!(after.contains(first), "{after}");
    until("it serves again", || rig.get("quiet.localhost").0 == 200);
}
