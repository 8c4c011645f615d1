//! Which app a command means, and what becomes of git remotes.

use std::{fs, path::PathBuf, process::Command};

use super::super::test_platform::{TestPlatform, text};

/// A git repository with these remotes.
fn repository(rig: &TestPlatform, name: &str, remotes: &[(&str, &str)]) -> PathBuf {
    let folder = rig.path(name);
    fs::create_dir(&folder).unwrap();
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", text(&output));
    };
    git(&["init", "--quiet"]);
    for (name, url) in remotes {
        git(&["remote", "add", name, url]);
    }
    folder
}

fn remotes(folder: &PathBuf) -> String {
    text(&Command::new("git").args(["remote", "-v"]).current_dir(folder).output().unwrap())
}

#[test]
fn a_remote_of_another_service_names_no_app() {
    let rig = TestPlatform::new();
    rig.deis(&["create", "mine", "--no-remote"]);
    let controller = format!("{}/team/mine.git", rig.url());
    let folder = repository(
        &rig,
        "elsewhere",
        &[
            ("origin", "http://localhost:3000/mine.git"),
            ("folder", &controller),
            ("ssh", "git@localhost:mine.git"),
            ("team", "git@localhost:team/mine.git"),
        ],
    );
    let run = |args: &[&str]| {
        let output = rig.deis_command(args).current_dir(&folder).output().unwrap();
        (output.status.code().unwrap(), text(&output))
    };
    let (code, said) = run(&["config:set", "A=1"]);
    assert!(code == 2 && said.contains("which app?"), "{code}: {said}");
    let before = remotes(&folder);
    assert_eq!(run(&["git:remove", "-a", "mine"]).0, 0);
    assert_eq!(remotes(&folder), before);
}

#[test]
fn a_remote_that_is_named_goes_alone() {
    let rig = TestPlatform::new();
    rig.deis(&["create", "mine", "--no-remote"]);
    let url = format!("{}/mine.git", rig.url());
    let folder = repository(&rig, "two", &[("deis", &url), ("other", &url)]);
    let run = |args: &[&str]| {
        let output = rig.deis_command(args).current_dir(&folder).output().unwrap();
        (output.status.code().unwrap(), text(&output))
    };
    let (code, said) = run(&["git:remove", "-r", "other"]);
    assert!(code == 0 && said.contains("Git remote other of app mine removed."), "{code}: {said}");
    let left = remotes(&folder);
    assert!(left.contains("deis\t") && !left.contains("other"), "{left}");
    assert_eq!(run(&["git:remove", "-r", "other"]).0, 2, "it is there no more");
    assert_eq!(run(&["git:remove"]).0, 0);
    assert_eq!(remotes(&folder), "");
}

#[test]
fn every_form_of_the_apps_own_remote_names_it() {
    let rig = TestPlatform::new();
    rig.deis(&["create", "mine", "--no-remote"]);
    for (folder, url) in [
        ("http", format!("{}/mine.git", rig.url())),
        ("alias", format!("http://deis.localhost:{}/mine.git", rig.http)),
        ("ssh", format!("ssh://git@localhost:{}/mine.git", rig.ssh)),
        ("original", "ssh://git@localhost-builder:2222/mine.git".to_owned()),
    ] {
        let folder = repository(&rig, folder, &[("origin", &url)]);
        let pair = format!("FROM={}", folder.file_name().unwrap().to_str().unwrap());
        let output = rig.deis_command(&["config:set", &pair]).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{url}: {}", text(&output));
        assert!(rig.deis(&["config", "-a", "mine"]).contains(&pair[5..]));
        let output = rig.deis_command(&["git:remove"]).current_dir(&folder).output().unwrap();
        assert!(output.status.success() && remotes(&folder).is_empty(), "{url}: {}", text(&output));
    }
}

#[test]
fn nothing_is_made_when_the_remotes_name_is_taken() {
    let rig = TestPlatform::new();
    let folder = repository(&rig, "work", &[("deis", "https://github.com/deis/example.git")]);
    let run = |args: &[&str]| {
        let output = rig.deis_command(args).current_dir(&folder).output().unwrap();
        (output.status.code().unwrap(), text(&output))
    };
    let (code, said) = run(&["create", "mine"]);
    assert!(code == 1 && said.contains("already exists") && said.contains("--no-remote"), "{code}: {said}");
    assert!(!rig.deis(&["apps"]).contains("mine"));
    assert_eq!(run(&["create", "mine", "-r", "platform"]).0, 0);
    assert!(run(&["git:remote", "-r", "platform"]).1.contains("leads to app mine already"));
    assert!(run(&["git:remote", "-f"]).1.contains("now leads to app mine"));
    rig.deis(&["create", "other", "-r", "other"]);
    assert_eq!(run(&["git:remote", "-a", "other", "-r", "other"]).0, 0);
    assert!(run(&["config:set", "A=1", "-r", "other"]).1.contains("other is now at"));
    assert_eq!(run(&["config:set", "A=1", "-r", "nowhere"]).0, 2);

    let helper = || {
        let key = format!("credential.{}.helper", rig.url());
        let output =
            Command::new("git").args(["config", "--get-all", &key]).current_dir(&folder).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["git:remove", "-a", "mine"]).1.contains("removed"));
    assert!(!helper().is_empty(), "another remote needs it");
    assert!(run(&["git:remove", "-a", "other"]).1.contains("removed"));
    assert!(helper().is_empty() && remotes(&folder).is_empty());
    assert!(run(&["git:remove", "-a", "other"]).1.contains("There is no git remote"));

    let script = "PATH=../data/bin:$PATH; exec deis git:remote -a mine";
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(&folder)
        .env("DEIS_PROFILE", rig.path("client.json"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let helper = helper();
    assert!(helper.lines().any(|l| l.starts_with("!/") && l.contains("bin/deis")), "{helper}");
}

#[test]
fn a_guessed_app_is_named_when_it_does_not_exist() {
    let rig = TestPlatform::new();
    let folder = repository(&rig, "guessed", &[]);
    let output = rig.deis_command(&["info"]).current_dir(&folder).output().unwrap();
    assert!(text(&output).contains("guessed is the name of this folder"), "{}", text(&output));
    let mut command = rig.deis_command(&["config:set", "A=1"]);
    let output = command.current_dir(&folder).env("DEIS_APP_NAME", "").output().unwrap();
    assert!(output.status.code() == Some(2) && text(&output).contains("which app?"), "{}", text(&output));
    assert_eq!(rig.try_deis(&["config:set", "A=1", "-a", ""]).0, 2);
}
