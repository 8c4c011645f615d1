//! The program by itself, without a platform. With one it is tried by the end-to-end tests of the daemon.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]
#![allow(clippy::disallowed_methods, reason = "a test may block, and has nobody to take the time from")]

use std::process::Command;

/// Exit code and all that it printed.
fn deis(args: &[&str]) -> (Option<i32>, String) {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_deis"))
        .args(args)
        .current_dir(home.path())
        .env("HOME", home.path())
        .env_remove("DEIS_PROFILE")
        .env_remove("DEIS_APP_NAME")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code(), text)
}

#[test]
fn it_says_what_it_is_and_needs_no_platform_for_it() {
    assert_eq!(deis(&["--version"]).1, format!("deis {}\n", env!("CARGO_PKG_VERSION")));
    let (code, help) = deis(&["builds", "--help"]);
    assert!(code == Some(0) && help.contains("the failed ones too"), "{help}");
}

#[test]
fn its_exit_codes_tell_mistakes_apart() {
    for (args, expected, words) in [
        (&["apps"][..], 100, "not logged in"),
        (&["no-such-thing"], 2, "no-such-thing"),
        (&["register", "http://127.0.0.1:1", "--username", "a", "--password", "b"], 1, "cannot reach"),
    ] {
        let (code, said) = deis(args);
        assert!(code == Some(expected) && said.contains(words), "{args:?}: {code:?} {said}");
    }
}
