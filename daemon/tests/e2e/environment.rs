//! What a process finds in its environment, whatever starts it.

use std::{collections::BTreeMap, fs};

use super::{
    test_platform::{PYTHON, TestPlatform, until},
    web::ask,
};

type Env = BTreeMap<String, String>;

fn parsed(text: &str) -> Env {
    text.split_terminator('\0')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// A web process, a worker, the release command and a one-off command get the same; each has a folder and a port of its
/// own, and only the one-off command a `HOME` that the config names.
#[test]
fn every_process_of_a_release_has_the_same_environment() {
    let rig = TestPlatform::new();
    let dump = rig.path("dump");
    fs::create_dir(&dump).unwrap();
    let work = rig.app(
        "same",
        &[
            (
                "Procfile",
                "release: cat /proc/self/environ > $DUMP/release\n\
                 web: cat /proc/self/environ > $DUMP/web; exec deis-static .\n\
                 worker: cat /proc/self/environ > $DUMP/worker; exec sleep 1000\n",
            ),
            ("index.html", "x"),
        ],
    );
    let set = format!("DUMP={}", dump.display());
    let own = ["HOME=/nowhere", "WORKFLOW_RELEASE_SUMMARY=mine", "GREETING=a  b $HOME 'c'"];
    let mut config = vec!["config:set", &set, "-a", "same"];
    config.extend(own);
    rig.deis(&config);
    work.git(&["push", "deis", "main"]);
    rig.deis(&["scale", "worker=1", "-a", "same"]);
    rig.deis(&["run", "-a", "same", "--", "cat /proc/self/environ > $DUMP/run"]);
    let read = |name: &str| {
        until("it has told its environment", || fs::read(dump.join(name)).is_ok_and(|text| !text.is_empty()));
        parsed(&fs::read_to_string(dump.join(name)).unwrap())
    };
    let all: BTreeMap<&str, Env> = ["web", "worker", "release", "run"].map(|name| (name, read(name))).into();
    for (name, env) in &all {
        assert_eq!(env["GREETING"], "a  b $HOME 'c'", "{name}");
        assert_eq!(env["DEIS_APP"], "same", "{name}");
        assert_eq!(env["WORKFLOW_RELEASE"], "v3", "{name}");
        assert_eq!(env["WORKFLOW_RELEASE_SUMMARY"], "mine", "the config wins in {name}");
        assert_eq!(env["SOURCE_VERSION"].len(), 40, "{name}");
        assert!(env["PORT"].parse::<u16>().is_ok_and(|port| port > 0), "{name}");
        assert_eq!(env["HOME"] == "/nowhere", *name == "run", "HOME of {name} is {}", env["HOME"]);
    }
    // What is left must be the same to the last byte. `_`, `PWD` and `SHLVL` are the shell's; a task is marked by its
    // folder, by which its processes are found should its supervisor be killed.
    let common = |name: &str| -> Env {
        let own = ["HOME", "PORT", "PWD", "OLDPWD", "SHLVL", "_", "DEIS_TASK"];
        let env = all[name].iter().filter(|(key, _)| !own.contains(&key.as_str()));
        env.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    for name in ["worker", "release", "run"] {
        assert_eq!(common(name), common("web"), "{name}");
    }
}

/// What is accepted can be started: as many and as long variables as there may be, by every kind of process.
#[test]
fn the_largest_environment_that_is_accepted_starts() {
    let rig = TestPlatform::new();
    let work = rig.app("large", PYTHON);
    work.commit(&[("Procfile", "web: python3 app.py\nrelease: test ${#LONG} = 131066\n")]);
    // What is left of 768 KiB for 999 more, each of which costs a name of 4, `=`, a NUL byte and a pointer.
    let each = (786_432 - 131_070 - 10) / 999 - 14;
    let mut values: serde_json::Map<String, serde_json::Value> =
        (0..999).map(|i| (format!("K{i:03}"), "x".repeat(each).into())).collect();
    values.insert("LONG".to_owned(), "y".repeat(131_066).into());
    let token = format!("token {}", rig.token());
    let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let post = |values: serde_json::Value| {
        let body = serde_json::json!({"values": values}).to_string();
        ask(rig.http, "POST", "/v2/apps/large/config/", &headers, Some(&body))
    };
    let answer = post(values.into());
    assert_eq!(answer.status, 201, "{}", answer.body);
    let answer = post(serde_json::json!({"MORE": "x"}));
    assert!(answer.status == 400 && answer.body.contains("at most"), "{}", answer.body);
    work.git(&["push", "deis", "main"]);
    assert_eq!(rig.get("large.localhost").0, 200);
    let count = rig.deis(&["run", "-a", "large", "--", "env | grep -c ^K..."]);
    assert_eq!(count.trim(), "999");
}
