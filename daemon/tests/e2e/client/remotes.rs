//! Which app a command means, and what becomes of git remotes.

use std::{fs, path::PathBuf, process::Command};

use super::super::rig::{Rig, text};

/// A git repository with these remotes.
fn repository(rig: &Rig, name: &str, remotes: &[(&str, &str)]) -> PathBuf {
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
    let rig = Rig::new();
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
fn every_form_of_the_apps_own_remote_names_it() {
    let rig = Rig::new();
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
