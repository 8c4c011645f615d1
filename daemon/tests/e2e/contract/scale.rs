//! Scaling, pods, one-off commands and logs through the API.

use serde_json::json;

use super::Caller;
use crate::test_platform::{STATIC, TestPlatform, until};

#[test]
fn counts_pods_commands_and_logs() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    let work = rig.app("web1", STATIC);
    ann.posts("/v2/apps/web1/scale/", &[(r#"{"web":1}"#, 400, "No build associated with this release")]);
    ann.posts(
        "/v2/apps/web1/run",
        &[
            (r#"{"command":"ls"}"#, 400, "No build associated with this release to run this command"),
            ("{}", 400, "command is a required field"),
            (r#"{"command":""}"#, 400, "command is a required field"),
            ("{\"command\":\"a\\u0000b\"}", 400, "NUL"),
        ],
    );
    work.commit(&[("Procfile", "web: exec deis-static .\nworker: exec sleep 600\n")]);
    work.git(&["push", "deis", "main"]);
    let structure = || ann.get("/v2/apps/web1/").1["structure"].clone();
    assert_eq!(structure()["web"], 1);
    ann.posts(
        "/v2/apps/web1/scale/",
        &[
            (r#"{"worker":2}"#, 204, ""),
            (r#"{"web":"3"}"#, 204, ""),
            (r#"{"web":1.7}"#, 204, ""),
            (r#"{"web":1}"#, 204, ""),
            (r#"{"cmd":0}"#, 204, ""),
            (r#"{"cmd":1}"#, 404, "Container type cmd does not exist in application"),
            (
                r#"{"web":-1}"#,
                400,
                "Invalid scaling format: [ErrorDetail(string='Must be greater than or equal to zero', code='invalid')]",
            ),
            (r#"{"web":"x"}"#, 400, "Invalid scaling format: invalid literal for int() with base 10: 'x'"),
            (r#"{"web":null}"#, 400, ""),
            (r#"{"web":[1]}"#, 400, ""),
            ("[]", 400, ""),
            (r#"{"nope":1}"#, 404, "Container type nope does not exist in application"),
        ],
    );
    assert_eq!((&structure()["web"], &structure()["worker"]), (&json!(1), &json!(2)));
    assert_eq!(ann.get("/v2/apps/web1/releases/").1["count"], 2, "scaling makes no release");

    let (_, workers) = ann.get("/v2/apps/web1/pods/worker/");
    assert_eq!((&workers["count"], workers.get("next")), (&json!(2), None));
    let pod = &workers["results"][0];
    assert_eq!(
        (&pod["state"], &pod["release"], &pod["type"]),
        (&json!("up"), &json!("v2"), &json!("worker"))
    );
    let name = pod["name"].as_str().unwrap();
    let (digits, suffix) = name.strip_prefix("web1-worker-").unwrap().split_once('-').unwrap();
    assert!((8..=10).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()), "{name}");
    assert!(suffix.len() == 5 && suffix.bytes().all(|b| b.is_ascii_alphanumeric()), "{name}");
    assert_eq!(ann.get(&format!("/v2/apps/web1/pods/worker/{name}/")).1["count"], 1);
    assert_eq!(ann.get("/v2/apps/web1/pods/worker/nobody/").1, json!({"results": [], "count": 0}));
    let (status, restarted) = ann.post(&format!("/v2/apps/web1/pods/worker/{name}/restart/"), "");
    assert_eq!((status, restarted.as_array().unwrap().len()), (200, 1), "{restarted}");
    assert_ne!(restarted[0]["name"], name);
    assert_eq!(ann.post("/v2/apps/web1/pods/nope/restart/", ""), (200, json!([])));

    let (status, ran) = ann.post("/v2/apps/web1/run", r#"{"command":"echo out; echo err >&2; exit 7"}"#);
    assert_eq!((status, &ran["exit_code"]), (200, &json!(7)));
    assert!(ran["output"].as_str().unwrap().contains("out\n"), "{ran}");
    assert!(ran["output"].as_str().unwrap().contains("err\n"), "{ran}");
    let (_, ran) = ann.post("/v2/apps/web1/run", r#"{"command":"echo $PORT"}"#);
    assert_eq!(ran, json!({"exit_code": 0, "output": "5000\n"}));
    let (status, logs) = ann.get("/v2/apps/web1/logs?log_lines=1000");
    let logs = logs.as_str().unwrap();
    assert_eq!(status, 200);
    let short = |path: &str| ann.get(path).1["results"][0]["uuid"].as_str().unwrap()[..7].to_owned();
    for line in [
        format!("build web1-{} created", short("/v2/apps/web1/builds/")),
        format!("config web1-{} updated", &ann.get("/v2/apps/web1/config/").1["uuid"].as_str().unwrap()[..7]),
        "ann created initial release".to_owned(),
        "appsettings web1-".to_owned(),
        "domain web1 added".to_owned(),
        "ann scaled pods worker=2".to_owned(),
    ] {
        assert!(logs.contains(&format!("deis[controller]: INFO {line}")), "{line}: {logs}");
    }
    assert!(logs.contains("runs 'echo out; echo err >&2; exit 7'"), "{logs}");
    assert_eq!(ann.get("/v2/apps/web1/logs?log_lines=2").1.as_str().unwrap().trim().lines().count(), 2);
}

#[test]
fn a_rollout_shows_the_new_processes_and_answers_with_its_own_config() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    let gate = rig.path("gate");
    let wait = "while [ -n \"$GATE\" ] && [ ! -e \"$GATE\" ]; do sleep 0.05; done; exec deis-static .";
    let work = rig.app("web1", &[("Procfile", &format!("web: {wait}\n")), ("index.html", "x")]);
    work.git(&["push", "deis", "main"]);
    let body = json!({"values": {"GATE": gate}}).to_string();
    std::thread::scope(|scope| {
        let change = scope.spawn(|| ann.post("/v2/apps/web1/config/", &body));
        let pods = || ann.get("/v2/apps/web1/pods/").1["results"].as_array().unwrap().clone();
        until("the new process is listed", || pods().iter().any(|pod| pod["release"] == "v3"));
        let listed = pods();
        assert!(listed.iter().all(|pod| pod["release"] == "v3" && pod["state"] == "starting"), "{listed:?}");
        std::fs::write(&gate, "").unwrap();
        let (status, config) = change.join().unwrap();
        assert_eq!((status, &config["values"]["GATE"]), (201, &json!(gate)));
        let (_, release) = ann.get("/v2/apps/web1/releases/v3/");
        assert_eq!(release["config"], config["uuid"]);
    });
}

#[test]
fn a_restart_that_fails_answers_with_what_there_is() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    let broken = rig.path("broken");
    let web = format!("web: test ! -e {} && exec deis-static .\n", broken.display());
    let work = rig.app("web1", &[("Procfile", &web), ("index.html", "x")]);
    work.git(&["push", "deis", "main"]);
    std::fs::write(&broken, "").unwrap();
    assert_eq!(ann.post("/v2/apps/web1/pods/restart/", ""), (200, json!([])));
    let logs = ann.get("/v2/apps/web1/logs").1;
    assert!(logs.as_str().unwrap().contains("restart"), "{logs}");
    assert_eq!(ann.get("/v2/apps/web1/pods/").1["count"], 1, "the old one serves");
}
