//! Secrets stay where they belong: not in the daemon's log at its most talkative, and in no process's arguments.

use std::fs;

use serde_json::json;

use super::{
    test_platform::{PYTHON, TestPlatform},
    web::ask,
};

#[test]
fn no_secret_is_logged_or_an_argument() {
    let rig = TestPlatform::with(&["--log", "trace"]);
    let work = rig.app("quiet", PYTHON);
    let plain = |kind: &str| format!("canary-of-{kind}-5f2b");
    let config = json!({
        "values": {"TOKEN": plain("value"), "PORT": "5000"},
        "registry": {"username": plain("registry-user"), "password": plain("registry-password")},
    });
    let token = format!("token {}", rig.token());
    let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let post = |path: &str, body: &str| ask(rig.http, "POST", path, &headers, Some(body)).status;
    assert_eq!(post("/v2/apps/quiet/config/", &config.to_string()), 201);
    let user = json!({"username": "bob", "password": plain("password")}).to_string();
    assert_eq!(post("/v2/auth/register/", &user), 201);
    work.git(&["push", "deis", "main"]);
    // Refused, failed and unusual ones too: errors are where values like to show.
    for body in [
        json!({"values": {"TOKEN": plain("value")}}),
        json!({"values": {"1TOKEN": plain("refused-value")}}),
        json!({"values": {"BIG": plain("big").repeat(10_000)}}),
        json!({"registry": {"password": format!("{}\n", plain("registry-refused"))}}),
    ] {
        assert!(post("/v2/apps/quiet/config/", &body.to_string()) >= 400);
    }
    rig.deis(&["config:set", &format!("FAILS={}", plain("later")), "-a", "quiet"]);
    rig.deis(&["run", "-a", "quiet", "--", "true"]);

    let kinds = [
        "value",
        "registry-user",
        "registry-password",
        "password",
        "refused-value",
        "big",
        "registry-refused",
        "later",
    ];
    let log = fs::read_to_string(rig.path("deisd.log")).unwrap();
    assert!(!log.is_empty(), "there is a log");
    let arguments: Vec<String> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|process| process.path().join("exe").exists())
        .filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok())
        .collect();
    let data = rig.path("data/run");
    for kind in kinds {
        let canary = plain(kind);
        assert!(!log.contains(&canary), "{kind} is in the log");
        assert!(!arguments.iter().any(|line| line.contains(&canary)), "{kind} is an argument");
        assert_eq!(holding(&data, &canary), Vec::<String>::new(), "{kind} lies in the folder of an instance");
    }
    assert!(!log.contains(&rig.token()), "the token is in the log");
}

/// The files below a folder that contain a text.
fn holding(folder: &std::path::Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes())) {
            found.push(path.display().to_string());
        }
    }
    found
}
