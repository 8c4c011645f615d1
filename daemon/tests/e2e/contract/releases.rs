//! The ledger through the API: numbers, summaries, rollbacks, and what a failed release leaves.

use serde_json::json;

use super::Caller;
use crate::test_platform::{STATIC, TestPlatform};

#[test]
fn releases_are_numbered_and_can_be_gone_back_to() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    let work = rig.app("web1", STATIC);
    let rollback = "/v2/apps/web1/releases/rollback/";
    assert_eq!(ann.post(rollback, "").0, 400, "nothing to go back to");
    work.git(&["push", "deis", "main"]);
    let sha = work.git(&["rev-parse", "HEAD"]);
    let release = |n: u64| ann.get(&format!("/v2/apps/web1/releases/v{n}/")).1;
    assert_eq!(release(2)["summary"], format!("ann deployed {}", &sha[..7]));
    let (_, builds) = ann.get("/v2/apps/web1/builds/");
    assert_eq!((&builds["results"][0]["uuid"], builds["count"].as_u64()), (&release(2)["build"], Some(1)));
    assert_eq!(builds["results"][0]["sha"], sha.trim());
    assert_eq!(ann.post("/v2/apps/web1/config/", r#"{"values":{"A":"1"}}"#).0, 201);
    ann.posts(
        rollback,
        &[
            (r#"{"version":1}"#, 400, "Cannot roll back to initial release."),
            (r#"{"version":0}"#, 400, "version cannot be below 0"),
            (r#"{"version":-3}"#, 400, "version cannot be below 0"),
            (r#"{"version":99}"#, 400, "v99"),
            (r#"{"version":"x"}"#, 400, "detail"),
            (r#"{"version":"v2"}"#, 400, "detail"),
            (r#"{"version":"2"}"#, 201, r#"{"version":4}"#),
        ],
    );
    assert_eq!(release(4)["summary"], "ann rolled back to v2");
    assert_eq!(ann.get("/v2/apps/web1/config/").1["values"], json!({}));
    assert_eq!(ann.post(rollback, ""), (201, json!({"version": 5})));
    assert_eq!(release(5)["summary"], "ann rolled back to v3");
    assert_eq!(ann.get("/v2/apps/web1/releases/v01/").1["version"], 1);
    for missing in ["1", "v99", "vx", "v"] {
        assert_eq!(ann.get(&format!("/v2/apps/web1/releases/{missing}")).0, 404, "{missing}");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        assert_eq!(ann.call(method, "/v2/apps/web1/releases/", None).0, 405, "{method}");
    }
    let (status, answer) = ann.post("/v2/apps/web1/builds/", r#"{"image":"autotest/example"}"#);
    assert_eq!(status, 400);
    assert!(answer.to_string().contains("this server runs no images yet"), "{answer}");
}

#[test]
fn a_failed_release_is_a_number_and_no_way_back() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    let work =
        rig.app("web1", &[("Procfile", "web: test -z \"$BREAK\" && exec deis-static .\n"), ("a", "b")]);
    work.git(&["push", "deis", "main"]);
    let (status, answer) = ann.post("/v2/apps/web1/config/", r#"{"values":{"BREAK":"1"}}"#);
    assert_eq!(status, 400);
    assert!(answer["detail"].as_str().unwrap().starts_with(
        "(app::deploy): There was a problem deploying v3. Rolling back process types to release v2.\n"
    ));
    let (_, failed) = ann.get("/v2/apps/web1/releases/v3/");
    assert_eq!(
        (&failed["failed"], &failed["summary"]),
        (&json!(true), &json!("ann deployed a config that failed"))
    );
    assert!(failed["exception"].as_str().unwrap().starts_with("error: (app::deploy): "), "{failed}");
    assert_eq!(ann.get("/v2/apps/web1/config/").1["values"], json!({}));
    let before = ann.get("/v2/apps/web1/releases/").1["count"].clone();
    let (status, answer) = ann.post("/v2/apps/web1/releases/rollback/", r#"{"version":3}"#);
    assert_eq!((status, answer), (400, json!({"detail": "Cannot roll back to failed release."})));
    assert_eq!(ann.get("/v2/apps/web1/releases/").1["count"], before);
    assert_eq!(ann.post("/v2/apps/web1/config/", r#"{"values":{"FINE":"1"}}"#).0, 201);
    let (status, answer) = ann.post("/v2/apps/web1/releases/rollback/", "");
    assert_eq!((status, answer), (201, json!({"version": 5})));
    assert_eq!(ann.get("/v2/apps/web1/releases/v5/").1["summary"], "ann rolled back to v2", "v3 is no good");
    let (_, next) = ann.get("/v2/apps/web1/releases/v4/");
    assert_eq!((&next["failed"], &next["exception"]), (&json!(false), &json!(null)));
}
