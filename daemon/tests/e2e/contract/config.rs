//! Config changes: what is taken, what is refused, and the releases that they make.

use serde_json::json;

use super::Caller;
use crate::test_platform::TestPlatform;

const CONFIG: &str = "/v2/apps/web1/config/";

#[test]
fn values_are_merged_key_by_key() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    ann.post("/v2/apps/", r#"{"id":"web1"}"#);
    let summary = || ann.get("/v2/apps/web1/releases/").1["results"][0]["summary"].clone();
    ann.posts(
        CONFIG,
        &[
            ("{}", 409, "ann changed nothing - release stopped"),
            (r#"{"values":{}}"#, 409, "ann changed nothing"),
            (r#"{"values":{"N":1,"F":1.5,"E":"","FOO":"bar"}}"#, 201, r#""F":"1.5""#),
            (r#"{"values":{"N":"1"}}"#, 409, "changed nothing"),
            (r#"{"values":{"NOPE":null}}"#, 422, "NOPE does not exist under values"),
            (r#"{"values":{"no-pe":null}}"#, 422, "no-pe does not exist under values"),
        ],
    );
    assert_eq!(ann.post(CONFIG, r#"{"values":{"FOO":null,"NEW":"x"}}"#).0, 201);
    assert_eq!(summary(), "ann added NEW, deleted FOO");
    assert_eq!(ann.post(CONFIG, r#"{"values":{"N":"2","NEW2":"y","E":null}}"#).0, 201);
    assert_eq!(summary(), "ann added NEW2, changed N, deleted E");
    let big = r#"{"values":{"BIG":123456789012345678901234567890,"LIST":[1, 2]}}"#;
    let (_, config) = ann.post(CONFIG, big);
    assert_eq!(config["values"]["BIG"], "123456789012345678901234567890");
    assert_eq!(config["values"]["LIST"], "[1, 2]");
    assert_eq!(ann.post(CONFIG, r#"{"values":{"BIG":null,"LIST":null}}"#).0, 201);
    // A member may be a string that holds the object.
    assert_eq!(ann.post(CONFIG, r#"{"values":"{\"S\":\"ü \\n\"}"}"#).0, 201);
    let (_, config) = ann.get(CONFIG);
    assert_eq!(config["values"], json!({"N": "2", "F": "1.5", "NEW": "x", "NEW2": "y", "S": "ü \n"}));
}

#[test]
fn bad_values_change_nothing() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    ann.post("/v2/apps/", r#"{"id":"web1"}"#);
    for key in ["1A", "A-B", "a.b", "A B", "", "Ä"] {
        let (status, answer) = ann.post(CONFIG, &json!({"values": {key: "x"}}).to_string());
        assert!(status == 400 && answer["values"].is_array(), "{key:?}: {status} {answer}");
    }
    for port in [json!("dog"), json!("0"), json!("65536"), json!("-1"), json!("1.5")] {
        assert_eq!(ann.post(CONFIG, &json!({"values": {"PORT": port}}).to_string()).0, 400, "{port}");
    }
    ann.posts(
        CONFIG,
        &[
            (r#"{"values":null}"#, 400, "This field may not be null."),
            (r#"{"values":5}"#, 400, "values"),
            (r#"{"values":[]}"#, 400, "values"),
            (r#"{"values":"{"}"#, 400, "values"),
        ],
    );
    assert_eq!(ann.get("/v2/apps/web1/releases/").1["count"], 1);
    for port in [json!("1"), json!("65535"), json!(5000)] {
        assert_eq!(ann.post(CONFIG, &json!({"values": {"PORT": port}}).to_string()).0, 201, "{port}");
    }
}

#[test]
fn limits_and_health_checks() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    ann.post("/v2/apps/", r#"{"id":"web1"}"#);
    for (member, good, bad) in [
        ("memory", &["1G", "512M", "20MB", "1g", "0", "0/100MB", "1G/2G"][..], &["1Z", "10", "100K/0"][..]),
        ("cpu", &["1", "500m", ".5", "1/2", "500m/600m"], &["1G", "5.", "1e3"]),
    ] {
        for value in good {
            let (status, answer) = ann.post(CONFIG, &json!({member: {"web": value}}).to_string());
            assert_eq!(status, 201, "{member} {value}: {answer}");
        }
        for value in bad {
            let (status, answer) = ann.post(CONFIG, &json!({member: {"web": value}}).to_string());
            assert!(status == 400 && answer[member].is_array(), "{member} {value}: {status} {answer}");
        }
    }
    let http = |port: serde_json::Value, extra: serde_json::Value| {
        let mut probe = json!({"httpGet": {"path": "/", "port": port}});
        probe.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"healthcheck": {"web": {"livenessProbe": probe}}}).to_string()
    };
    assert_eq!(ann.post(CONFIG, &http(json!(80), json!({}))).0, 201);
    for bad in [
        http(json!("80"), json!({})),
        http(json!(80), json!({"successThreshold": 2})),
        r#"{"healthcheck":{"web":{"startupDance":{}}}}"#.to_owned(),
        r#"{"healthcheck":{"web":{"readinessProbe":{"exec":{}}}}}"#.to_owned(),
        r#"{"healthcheck":{"web":{"readinessProbe":{"httpGet":{"path":"/"}}}}}"#.to_owned(),
    ] {
        assert_eq!(ann.post(CONFIG, &bad).0, 400, "{bad}");
    }
    let (status, answer) = ann.post(CONFIG, r#"{"healthcheck":{"worker":null}}"#);
    assert_eq!((status, &answer["detail"]), (422, &json!("worker does not exist under healthcheck")));
}

#[test]
fn members_that_need_each_other_and_numbers_that_are_read_later() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    ann.post("/v2/apps/", r#"{"id":"web1"}"#);
    let port = "PORT needs to be set in the application config when using a private registry";
    ann.posts(
        CONFIG,
        &[
            (r#"{"registry":{"username":"bob"}}"#, 400, &format!(r#"{{"detail":"{port}"}}"#)),
            (r#"{"registry":{"username":"bob"},"values":{"PORT":"80"}}"#, 201, "bob"),
            (r#"{"values":{"PORT":null}}"#, 400, port),
            (r#"{"values":{"DEIS_DEPLOY_BATCHES":"x"}}"#, 400, "DEIS_DEPLOY_BATCHES"),
            (r#"{"values":{"KUBERNETES_DEPLOYMENTS_REVISION_HISTORY_LIMIT":"abc"}}"#, 400, "values"),
            (r#"{"lifecycle_post_start":{"Web":"true"}}"#, 400, "lifecycle_post_start"),
            (r#"{"healthcheck":{"web":{"readinessProbe":{"tcpSocket":{"port":0}}}}}"#, 400, "healthcheck"),
            (r#"{"values":{"HEALTHCHECK_URL":"/","HEALTHCHECK_PERIOD_SECONDS":"0"}}"#, 400, "healthcheck"),
        ],
    );
    let (status, config) = ann.post(CONFIG, r#"{"values":{"HEALTHCHECK_URL":"/up"}}"#);
    let get = &config["healthcheck"]["web/cmd"]["livenessProbe"]["httpGet"];
    assert_eq!((status, get), (201, &json!({"path": "/up"})), "no port is made up");
    assert_eq!(config, ann.get(CONFIG).1);
}
