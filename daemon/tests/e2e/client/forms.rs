//! Forms of a command line.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::super::test_platform::TestPlatform;

#[test]
fn help_is_where_people_look_for_it() {
    let rig = TestPlatform::new();
    for (args, code, words) in [
        (&[][..], 2, "Commands:"),
        (&["auth"], 0, "auth:login"),
        (&["auth", "--help"], 0, "auth:login"),
        (&["git"], 0, "git:remote"),
        (&["help", "apps"], 0, "apps:create"),
        (&["help", "apps", "create"], 0, "Usage: deis apps:create"),
        (&["auth", "nonsense"], 2, "auth:nonsense"),
        (&["-v"], 0, "deis "),
        (&["--no-color", "version"], 0, "deis "),
        (&["version", "--json"], 0, "\"client\""),
        (&["version", "--all", "--json"], 0, "\"healthy\": true"),
    ] {
        let (got, said) = rig.try_deis(args);
        assert!(got == code && said.contains(words), "deis {args:?} ended with {got}: {said}");
    }
}

#[test]
fn a_plug_in_gets_its_words_and_the_profile() {
    let rig = TestPlatform::new();
    let plugin = rig.path("deis-hello");
    fs::write(&plugin, "#!/bin/sh\necho \"$DEIS_PROFILE: $*\"\nexit 7\n").unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", rig.path("").display(), std::env::var("PATH").unwrap());
    let output = rig.deis_command(&["-c", "other", "hello", "a", "--b"]).env("PATH", path).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "other: a --b\n");
    assert_eq!(output.status.code(), Some(7));
}
