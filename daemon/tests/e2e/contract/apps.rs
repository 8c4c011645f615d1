//! Apps: names, shapes, pages and who may touch them.

use serde_json::json;

use super::Caller;
use crate::test_platform::TestPlatform;

#[test]
fn names_are_checked_and_made_up() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    let (status, app) = ann.post("/v2/apps/", "");
    assert_eq!(status, 201);
    let id = app["id"].as_str().unwrap();
    assert!(id.split_once('-').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()), "{id}");
    assert_eq!((&app["structure"], &app["owner"]), (&json!({}), &json!("ann")));
    let (_, releases) = ann.get(&format!("/v2/apps/{id}/releases/"));
    assert_eq!(
        (&releases["count"], &releases["results"][0]["summary"], &releases["results"][0]["build"]),
        (&json!(1), &json!("ann created initial release"), &json!(null))
    );
    let (_, domains) = ann.get(&format!("/v2/apps/{id}/domains/"));
    assert_eq!(domains["results"][0]["domain"], id);
    let long = format!(r#"{{"id":"{}"}}"#, "a".repeat(64));
    ann.posts(
        "/v2/apps/",
        &[
            (r#"{"id":"a"}"#, 201, "\"a\""),
            (r#"{"id":"a"}"#, 400, "Application with this id already exists."),
            (r#"{"id":"Foo"}"#, 400, "App name can only contain a-z (lowercase), 0-9 and hyphens"),
            (r#"{"id":"foo_bar"}"#, 400, "App name must start with an alphabetic character"),
            (r#"{"id":"1foo"}"#, 400, "id"),
            (r#"{"id":"foo-"}"#, 400, "id"),
            (r#"{"id":""}"#, 400, "This field may not be blank."),
            (&long, 400, "Ensure this field has no more than 63 characters."),
            (r#"{"id":"deis"}"#, 400, "deis is a reserved name."),
        ],
    );
}

#[test]
fn strangers_learn_that_an_app_is_there_and_no_more() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    let (bob, carol) = (ann.registers("bob"), ann.registers("carol"));
    assert_eq!(bob.post("/v2/apps/", r#"{"id":"web1"}"#).0, 201);
    for path in ["", "config/", "releases/", "builds/", "pods/", "domains/", "logs"] {
        let path = format!("/v2/apps/web1/{path}");
        assert_eq!(carol.get(&path).0, 403, "{path}");
        assert!(matches!(bob.get(&path).0, 200 | 204), "{path}");
        assert!(matches!(ann.get(&path).0, 200 | 204), "{path}");
    }
    for (path, body) in [
        ("config/", r#"{"values":{"A":"1"}}"#),
        ("scale/", r#"{"web":1}"#),
        ("run", r#"{"command":"ls"}"#),
        ("domains/", r#"{"domain":"a.example.com"}"#),
        ("releases/rollback/", ""),
        ("pods/restart/", ""),
        ("plan/", r#"{"values":{"A":"1"}}"#),
    ] {
        assert_eq!(carol.post(&format!("/v2/apps/web1/{path}"), body).0, 403, "{path}");
    }
    assert_eq!(carol.delete("/v2/apps/web1/").0, 403);
    assert_eq!(carol.get("/v2/apps/nosuch/"), (404, json!("No App matches the given query.")));
    assert_eq!(carol.get("/v2/apps/").1["count"], 0);
    assert_eq!(ann.get("/v2/apps/").1["count"], 1);
    // What an administrator does to another's app is the administrator's deed.
    let (status, config) = ann.post("/v2/apps/web1/config/", r#"{"values":{"A":"1"}}"#);
    assert_eq!((status, &config["owner"]), (201, &json!("ann")));
    assert_eq!(bob.get("/v2/apps/web1/releases/v2/").1["summary"], "ann added A");
}

#[test]
fn pages_link_to_each_other() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    for name in ["two", "one"] {
        ann.post("/v2/apps/", &json!({"id": name}).to_string());
    }
    let base = format!("http://127.0.0.1:{}/v2/apps/", rig.http);
    let (_, first) = ann.get("/v2/apps/?limit=1");
    assert_eq!(first["count"], 2);
    assert_eq!(first["results"][0]["id"], "one");
    assert_eq!(
        (&first["next"], &first["previous"]),
        (&json!(format!("{base}?limit=1&offset=1")), &json!(null))
    );
    let (_, second) = ann.get("/v2/apps/?limit=1&offset=1");
    assert_eq!((&second["next"], &second["previous"]), (&json!(null), &json!(format!("{base}?limit=1"))));
    let (_, last) = ann.get("/v2/apps/?limit=18446744073709551615&offset=1");
    assert_eq!((last["results"].as_array().unwrap().len(), &last["next"]), (1, &json!(null)));
    let (_, twice) = ann.get("/v2/apps/?limit=2&limit=1");
    assert_eq!(twice["results"].as_array().unwrap().len(), 1, "the last one counts");
    for query in ["limit=abc", "limit=0", "limit=-1", "offset=-4", "page=2"] {
        let (status, page) = ann.get(&format!("/v2/apps/?{query}"));
        assert_eq!((status, page["results"].as_array().unwrap().len()), (200, 2), "{query}");
    }
}

#[test]
fn paths_that_are_no_text_name_nothing() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    ann.post("/v2/apps/", r#"{"id":"web1"}"#);
    for (path, model) in [
        ("%ff/", "App"),
        ("web1/releases/%ff/", "Release"),
        ("web1/builds/%ff/", "Build"),
        ("web1/builds/x/", "Build"),
    ] {
        let expected = json!(format!("No {model} matches the given query."));
        assert_eq!(ann.get(&format!("/v2/apps/{path}")), (404, expected), "{path}");
    }
    let gone = (404, json!("No Domain matches the given query."));
    assert_eq!(ann.delete("/v2/apps/web1/domains/%ff"), gone);
    assert_eq!(ann.get("/v2/keys/%ff"), (404, json!("No Key matches the given query.")));
    assert_eq!(ann.get("/v2/apps/web1/pods/%ff/"), (200, json!({"count": 0, "results": []})));
    assert!(matches!(ann.get("/v2/apps/web1/logs?log_lines=1&log_lines=2&process=web").0, 200 | 204));
}

#[test]
fn a_dry_run_is_of_one_thing() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    ann.post("/v2/apps/", r#"{"id":"web1"}"#);
    ann.posts(
        "/v2/apps/web1/plan/",
        &[
            ("{}", 400, "say what to plan"),
            (r#"{"foo":1}"#, 400, "say what to plan"),
            (r#"{"values":{"A":"1"},"scale":{"web":1}}"#, 400, "say what to plan"),
            (r#"{"scale":5}"#, 400, "scale"),
            (r#"{"memory":{"web":"1G"}}"#, 200, r#"{"after":"1G","before":null,"path":"memory.web"}"#),
            (r#"{"values":{"A":"1"}}"#, 200, "v2: ann added A"),
        ],
    );
}
