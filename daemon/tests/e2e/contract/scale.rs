//! Scaling, pods, one-off commands and logs through the API.

use serde_json::json;

use super::Caller;
use crate::rig::{Rig, STATIC};

#[test]
fn counts_pods_commands_and_logs() {
    let rig = Rig::new();
    let ann = Caller::ann(&rig);
    let work = rig.app("web1", STATIC);
    ann.posts("/v2/apps/web1/scale/", &[(r#"{"web":1}"#, 400, "No build associated with this release")]);
    ann.posts(
        "/v2/apps/web1/run",
        &[
            (r#"{"command":"ls"}"#, 400, "No build associated with this release to run this command"),
            ("{}", 400, "command is a required field"),
            (r#"{"command":""}"#, 400, "command is a required field"),
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
    assert!(name.starts_with("web1-worker-"), "{name}");
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
