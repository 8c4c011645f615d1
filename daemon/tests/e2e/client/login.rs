//! Log-in and keys: certificates, questions that nobody answers, which key is uploaded.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use super::{
    super::test_platform::{TestPlatform, text},
    untrusted,
};

#[test]
fn a_certificate_that_nobody_signed_is_taken_only_when_told() {
    let rig = TestPlatform::new();
    let url = format!("https://localhost:{}", untrusted::controller());
    for command in ["login", "register"] {
        let profile = rig.path(&format!("{command}.json"));
        let profile = profile.to_str().unwrap();
        let words = ["-c", profile, command, &url, "--username", "ann", "--password", "secret"];
        let (code, said) = rig.try_deis(&words);
        assert!(code == 1 && said.contains("cannot reach"), "{command} ended with {code}: {said}");
        let (code, said) = rig.try_deis(&[&words[..], &["--ssl-verify=false"]].concat());
        assert!(code == 0 && said.contains("Logged in as ann"), "{command} ended with {code}: {said}");
        assert_eq!(said.matches("Server version: 2.2").count(), 1, "{said}");
    }
}

#[test]
fn questions_that_nobody_answers_name_the_flag() {
    let rig = TestPlatform::new();
    for (args, flag) in [
        (&["login", &rig.url()][..], "--username"),
        (&["login", &rig.url(), "--username", "ann"], "--password"),
        (&["auth:passwd"], "--password"),
        (&["auth:passwd", "--password", "secret"], "--new-password"),
        (&["auth:cancel", "--yes"], "--password"),
        (&["auth:cancel", "--password", "secret"], "--yes"),
    ] {
        let (code, said) = rig.try_deis(args);
        assert!(code == 2 && said.contains(flag), "deis {args:?} ended with {code}: {said}");
    }
    assert!(rig.deis(&["whoami"]).contains("ann"));
}

#[test]
fn an_account_is_cancelled_by_who_knows_its_password() {
    let rig = TestPlatform::new();
    let bob = ["--username", "bob", "--password", "bobs"];
    let (code, said) = rig.try_deis(&[&["-c", "nobody", "register", &rig.url()][..], &bob].concat());
    assert!(code == 1 && said.contains("Only an administrator may add users"), "{code}: {said}");
    // The administrator's log-in counts for the other name of the same controller too.
    let alias = format!("http://deis.localhost:{}", rig.http);
    rig.deis(&[&["register", &alias, "--login=false"][..], &bob].concat());

    let profile = rig.path("bob.json");
    let as_bob = |args: &[&str]| rig.try_deis(&[&["-c", profile.to_str().unwrap()], args].concat());
    assert_eq!(as_bob(&[&["login", &rig.url()][..], &bob].concat()).0, 0);
    assert_eq!(as_bob(&["auth:cancel", "--password", "wrong", "--yes"]).0, 1);
    assert!(rig.deis(&["users"]).contains("bob"));
    assert_eq!(as_bob(&["auth:cancel", "--password", "bobs", "--yes"]).0, 0);
    assert!(!rig.deis(&["users"]).contains("bob") && !profile.exists());
}

#[test]
fn a_word_that_looks_like_a_file_is_no_name_for_another_key() {
    let rig = TestPlatform::new();
    let ssh = rig.path("home/.ssh");
    fs::create_dir_all(&ssh).unwrap();
    let key = |name: &str, comment: &str| {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
            .arg(ssh.join(name))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", text(&made));
    };
    key("id_one", "one/1 ann@home");
    let add = |words: &[&str], typed: &str| {
        let mut command = rig.deis_command(&[&["keys:add"], words].concat());
        command
            .env("HOME", rig.path("home"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may end without having read the answer.
        let _ = child.stdin.take().unwrap().write_all(typed.as_bytes());
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), text(&output))
    };
    assert_eq!(add(&["typo.pub"], "").0, 2);
    assert!(!rig.deis(&["keys"]).contains("typo"));
    let (code, said) = add(&[], "");
    assert_eq!(code, 0, "{said}");
    assert!(rig.deis(&["keys"]).contains("one/1 ann@home"));

    key("id_two", "two");
    let (code, said) = add(&["second"], "");
    assert!(code == 2 && said.contains("id_one.pub") && said.contains("id_two.pub"), "{code}: {said}");
    let (code, said) = add(&["second"], "2\n");
    assert!(code == 0 && said.contains("Uploading id_two.pub"), "{code}: {said}");
    assert!(rig.deis(&["keys"]).contains("second"));
    rig.deis(&["keys:remove", "one/1 ann@home"]);
    assert!(!rig.deis(&["keys"]).contains("one/1"));
}
