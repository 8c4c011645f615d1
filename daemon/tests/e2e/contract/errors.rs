//! Errors: each has a code that never changes, and what says too much is refused by name and rule.

use serde_json::json;

use super::Caller;
use crate::test_platform::TestPlatform;

#[test]
fn each_error_has_its_code() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    ann.post("/v2/apps/", r#"{"id":"web1"}"#);
    let bob = ann.registers("bob");
    let config = "/v2/apps/web1/config/";
    for (who, method, path, body, code) in [
        (&Caller::anonymous(&rig), "GET", "/v2/apps/", None, "unauthenticated"),
        (&bob, "POST", "/v2/auth/passwd/", Some(r#"{"password":"no","new_password":"x"}"#), "wrong_password"),
        (&bob, "GET", "/v2/users/", None, "forbidden"),
        (&bob, "POST", "/v2/auth/register/", Some(r#"{"username":"eve","password":"x"}"#), "forbidden"),
        (&ann, "GET", "/v2/apps/nosuch/", None, "app_not_found"),
        (&ann, "GET", "/v2/apps/web1/releases/v9/", None, "release_not_found"),
        (&ann, "DELETE", "/v2/apps/web1/domains/no.example.com", None, "domain_not_found"),
        (&ann, "GET", "/v2/keys/none", None, "key_not_found"),
        (&ann, "GET", "/v2/nothing/", None, "not_found"),
        (&ann, "PUT", "/v2/apps/", None, "method_not_allowed"),
        (&ann, "POST", "/v2/apps/", Some(r#"{"id":"web1"}"#), "already_exists"),
        (&ann, "POST", "/v2/apps/", Some(r#"{"id":"Web"}"#), "invalid"),
        (&ann, "POST", "/v2/apps/", Some("{"), "invalid"),
        (&ann, "POST", config, Some("{}"), "unchanged"),
        (&ann, "POST", config, Some(r#"{"values":{"NO":null}}"#), "not_set"),
        (&ann, "POST", config, Some(r#"{"values":{"1A":"x"}}"#), "invalid"),
        (&ann, "POST", "/v2/apps/web1/scale/", Some(r#"{"web":1}"#), "no_build"),
        (&ann, "POST", "/v2/apps/web1/run", Some(r#"{"command":"ls"}"#), "no_build"),
        (&ann, "POST", "/v2/apps/web1/releases/rollback/", Some(r#"{"version":1}"#), "invalid"),
    ] {
        assert_eq!(who.code(method, path, body), code, "{method} {path} {body:?}");
    }
    assert_eq!(ann.code("GET", "/v2/apps/web1/", None), "", "a success has none");
}

#[test]
fn what_says_too_much_or_twice_is_refused_and_changes_nothing() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    ann.post("/v2/apps/", r#"{"id":"web1"}"#);
    let config = "/v2/apps/web1/config/";
    let many: serde_json::Map<String, serde_json::Value> =
        (0..1001).map(|i| (format!("K{i}"), json!(""))).collect();
    let deep = format!("{{\"values\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    ann.posts(
        config,
        &[
            (r#"{"values":{"A":"1","A":"2"}}"#, 400, "duplicate key \\\"A\\\""),
            (r#"{"values":{"A":"1"},"values":{"A":"2"}}"#, 400, "duplicate key \\\"values\\\""),
            (r#"{"values":"{\"A\":\"1\",\"A\":\"2\"}"}"#, 400, "duplicate key"),
            (r#"{"values":"[1]"}"#, 400, "must be an object"),
            (r#"{"values":{"A":"\ud800"}}"#, 400, "one half of a surrogate pair"),
            (r#"{"values":{"A\u0000B":null}}"#, 422, "A\\\\0B does not exist"),
            (&json!({"values": many}).to_string(), 400, "more than 1000 members"),
            (&deep, 400, "nested more than 64 deep"),
            (&json!({"values": {"A": "x".repeat(131_070)}}).to_string(), 400, "131070"),
            (&json!({"lifecycle_pre_stop": {"web": "x".repeat(20_000)}}).to_string(), 400, "at most 16384"),
            (r#"{"tags":{"a/b/c":"d"}}"#, 400, "is no tag"),
            (r#"{"memory":{"web":"1M"}}"#, 400, "less than 4 MB"),
            (r#"{"termination_grace_period":{"web":"0"}}"#, 400, "from 1 to 3600"),
            (
                r#"{"healthcheck":{"web":{"readinessProbe":{"httpGet":{"port":80,"host":"a"}}}}}"#,
                400,
                "host cannot be set",
            ),
            (r#"{"healthcheck":{"web":{"livenessProbe":[]}}}"#, 400, "livenessProbe must be an object"),
            (
                r#"{"healthcheck":{"web":{"livenessProbe":[null,null,{"port":80},0,1,10,1,3]}}}"#,
                400,
                "livenessProbe must be an object",
            ),
            (r#"{"healthcheck":{"we\u0000b":7}}"#, 400, "we\\\\0b must be an object"),
            (&json!({"healthcheck": {"x".repeat(1000): 7}}).to_string(), 400, "x… must be an object"),
        ],
    );
    ann.posts(
        "/v2/apps/web1/scale/",
        &[
            (r#"{"web":1,"web":100}"#, 400, "duplicate key"),
            (r#"{"web":"a\u0000b"}"#, 400, "base 10: 'a\\\\0b'"),
            (&json!({"web": "x".repeat(1000)}).to_string(), 400, "x…'"),
            (r#"{"w\u0000b":1}"#, 404, "Container type w\\\\0b does not exist"),
        ],
    );
    let version = (r#"{"version":1000000000000}"#, 400, "there is no release v1000000000000;");
    ann.posts("/v2/apps/web1/releases/rollback/", &[version]);
    ann.posts(
        "/v2/apps/",
        &[
            (r#"{"id":"a","id":"b"}"#, 400, "duplicate key"),
            (r#"{"id":"default"}"#, 400, "reserved"),
            (r#"{"id":"kube-anything"}"#, 400, "reserved"),
            (r#"{"id":"xn--80ak6aa92e"}"#, 400, "reserved"),
            (r#"{"id":"a\nb"}"#, 400, "App name"),
            (r#"{"id":"app\u2028x"}"#, 400, "App name"),
            (r#"{"id":"app\n"}"#, 400, "App name"),
            (r#"{"id":"app\r\n"}"#, 400, "App name"),
            (r#"{"id":"app\u0000"}"#, 400, "App name"),
            (r#"{"id":"app\u2028"}"#, 400, "App name"),
            (r#"{"id":" app"}"#, 400, "App name"),
            (r#"{"id":"www"}"#, 400, "www is a reserved name."),
            (r#"{"id":"api"}"#, 400, "reserved"),
            (r#"{"id":"registry"}"#, 400, "reserved"),
            (r#"{"id":"router"}"#, 400, "reserved"),
        ],
    );
    let long = "x".repeat(140_000);
    ann.posts("/v2/apps/web1/run", &[(&json!({"command": long}).to_string(), 400, "131070")]);
    assert_eq!(ann.get("/v2/apps/web1/releases/").1["count"], 1);
    assert_eq!(ann.get(config).1["values"], json!({}));
    // The cluster's own labels are for administrators alone.
    let tag = r#"{"tags":{"kubernetes.io/hostname":"node1"}}"#;
    let bob = ann.registers("bob");
    bob.post("/v2/apps/", r#"{"id":"web2"}"#);
    bob.posts("/v2/apps/web2/config/", &[(tag, 400, "for administrators alone")]);
    assert_eq!(ann.post(config, tag).0, 201);
}
