//! Members of the classes of bad requests to API and git that no list names: each is refused, and nothing is changed.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    test_platform::TestPlatform,
    web::{Answer, ask},
};

/// A platform on which ann has an app without a build.
fn platform() -> TestPlatform {
    let platform = TestPlatform::new();
    platform.deis(&["create", "notes", "--no-remote"]);
    platform
}

fn call(
    platform: &TestPlatform,
    method: &str,
    path: &str,
    more: &[(&str, &str)],
    body: Option<&str>,
) -> Answer {
    let token = format!("token {}", platform.token());
    let mut headers = vec![("Authorization", token.as_str())];
    headers.extend(more);
    ask(platform.http, method, path, &headers, body)
}

/// Posts each body to each path and expects each status, with a code that programs know.
fn posts(platform: &TestPlatform, path: &str, cases: &[(&str, u16)]) {
    for (body, status) in cases {
        let answer = call(platform, "POST", path, &[("Content-Type", "application/json")], Some(body));
        assert_eq!(answer.status, *status, "POST {path} {body}: {answer:?}");
        assert!(answer.head.contains("deis_error_code: "), "POST {path} {body}: {answer:?}");
    }
}

#[test]
fn what_is_no_json_and_what_says_two_things() {
    let platform = platform();
    posts(
        &platform,
        "/v2/apps/",
        &[
            ("{\"id\":\"x1\",}", 400),
            ("{\"id\":'x2'}", 400),
            ("{\"id\":\"x3\"}//c", 400),
            ("{\"id\":\"x4\"} {\"id\":\"x5\"}", 400),
            ("{\"id\":\"x6\"}\0", 400),
            ("{\"id\":01}", 400),
            ("{\"id\":.5}", 400),
            ("{\"id\":\"\\x41\"}", 400),
            ("{\"id\":\"a\tb\"}", 400),
            ("{\"id\":1e999}", 400),
            ("{\"id\":Infinity}", 400),
            ("{\"\\u0069d\":\"x7\",\"id\":\"x8\"}", 400),
            ("\"x9\"", 400),
            ("null", 400),
        ],
    );
    let body = Some("{\"id\":\"twice\"}");
    let (json, form) =
        (("Content-Type", "application/json"), ("Content-Type", "application/x-www-form-urlencoded"));
    for more in [
        &[json, form][..],
        &[form, json],
        &[("Content-Type", "application/json,text/plain")],
        &[("Content-Type", "multipart/form-data; boundary=x")],
        &[json, ("Content-Encoding", "gzip")],
        &[json, ("Content-Encoding", "identity"), ("Content-Encoding", "identity")],
    ] {
        let answer = call(&platform, "POST", "/v2/apps/", more, body);
        assert_eq!(answer.status, 415, "{more:?}: {answer:?}");
    }
    let token = format!("token {}", platform.token());
    let two = [("Authorization", token.as_str()), ("Authorization", "token x")];
    for headers in [
        &two[..],
        &[("Authorization", &format!("{token},"))],
        &[("Authorization", &token.to_uppercase())],
        &[("Cookie", &token.replace(' ', "="))],
        &[("X-Authorization", &token)],
    ] {
        assert_eq!(ask(platform.http, "GET", "/v2/apps/", headers, None).status, 401, "{headers:?}");
    }
    assert_eq!(platform.deis(&["apps"]).matches("notes").count(), 1);
    assert!(!platform.deis(&["apps"]).contains("twice"));
}

#[test]
fn values_of_other_types_scripts_and_ranges() {
    let platform = platform();
    posts(
        &platform,
        "/v2/apps/notes/scale/",
        &[
            ("{\"web\":1e309}", 400),
            ("{\"web\":\"１\"}", 400),
            ("{\"web\":\"0x1\"}", 400),
            ("{\"web\":[1]}", 400),
            ("{\"web\":true}", 400),
            ("{\"web\":99999999999999999999}", 400),
            ("{\"\":1}", 404),
            ("{\"__proto__\":1}", 404),
            ("{\"web\\u0000\":1}", 404),
        ],
    );
    posts(
        &platform,
        "/v2/apps/notes/releases/rollback/",
        &[
            ("{\"version\":true}", 400),
            ("{\"version\":\"v01\"}", 400),
            ("{\"version\":1e3}", 400),
            ("{\"version\":\"１\"}", 400),
            ("{\"version\":\"v-1\"}", 400),
            ("{\"version\":\"v1\\u0000\"}", 400),
            ("{\"version\":{\"v\":1}}", 400),
        ],
    );
    posts(
        &platform,
        "/v2/apps/notes/config/",
        &[
            ("{\"values\":{\"A\":1e400}}", 400),
            ("{\"values\":{\"A\\u0661\":1}}", 400),
            ("{\"values\":{\"A=\":1}}", 400),
            ("{\"values\":{\"A\":\"\\u0000\"}}", 400),
            ("{\"memory\":{\"web\":\"١M\"}}", 400),
            ("{\"memory\":{\"web\":\"1e9\"}}", 400),
            ("{\"cpu\":{\"web\":\"NaN\"}}", 400),
            ("{\"cpu\":{\"web\":\"-1\"}}", 400),
            ("{\"tags\":{\"a\":{\"b\":1}}}", 400),
            ("{\"healthcheck\":{\"web\":{\"livenessProbe\":{\"tcpSocket\":{\"port\":1e9}}}}}", 400),
            ("{\"termination_grace_period\":{\"web\":1e1}}", 400),
            ("{\"values\":{\"HEALTHCHECK_URL\":\"x\\r\\ny\"}}", 400),
            ("{\"values\":{\"PORT\":\" 80\"}}", 400),
        ],
    );
    posts(
        &platform,
        "/v2/apps/notes/domains/",
        &[
            ("{\"domain\":\"a%2ecom\"}", 400),
            ("{\"domain\":\"0x7f.1\"}", 400),
            ("{\"domain\":\"xn--a.com\"}", 400),
            ("{\"domain\":\"a.com\\u0000\"}", 400),
            ("{\"domain\":\"*.*.com\"}", 400),
            ("{\"domain\":[\"a.com\"]}", 400),
        ],
    );
    posts(
        &platform,
        "/v2/auth/register/",
        &[
            ("{\"username\":\"a\\u0300b\",\"password\":\"x\"}", 400),
            ("{\"username\":\"a\\u202eb\",\"password\":\"x\"}", 400),
            ("{\"username\":\"a/b\",\"password\":\"x\"}", 400),
            ("{\"username\":\"x\",\"password\":[\"y\"]}", 400),
            ("{\"username\":\"x\",\"password\":\"p\",\"email\":\"a@b.c\\r\\nX: y\"}", 400),
        ],
    );
    let releases = platform.releases("notes");
    assert_eq!(releases.len(), 1, "nothing was changed: {releases:?}");
}

#[test]
fn paths_and_methods_that_nobody_serves() {
    let platform = platform();
    for (method, path, status) in [
        ("GET", "/v2/apps/%zz/", 404),
        ("GET", "/v2/apps/%ff/", 404),
        ("GET", "/v2/apps/..%2fapps/", 404),
        ("GET", "/v2/apps/../users/", 404),
        ("GET", "//v2/apps/", 404),
        ("GET", "/v2/apps/notes;x=1/", 404),
        ("GET", "/v2/apps/n%256ftes/", 404),
        ("GET", "/v2/apps/notes/releases/v1e3/", 404),
        ("GET", "/v2/apps/notes/releases/v99999999999999999999/", 404),
        ("GET", "/v2/apps/notes/runs/..%2f/", 404),
        ("TRACE", "/v2/apps/", 405),
        ("get", "/v2/apps/", 405),
        ("PROPFIND", "/v2/apps/", 405),
        ("GET", "/notes.git/HEAD", 404),
        ("GET", "/notes.git/config", 404),
        ("GET", "/notes.git/info/refs", 403),
        ("GET", "/notes.git/info/refs?service=git-upload-archive", 403),
    ] {
        let answer = call(&platform, method, path, &[], None);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    let login = format!("Basic {}", BASE64_STANDARD.encode(format!("ann:{}", platform.token())));
    let upload = "/notes.git/git-upload-pack";
    let (user, kind) =
        (("Authorization", login.as_str()), ("Content-Type", "application/x-git-upload-pack-request"));
    for more in [("Content-Encoding", "br"), ("Content-Encoding", "gzip, gzip")] {
        assert_eq!(
            ask(platform.http, "POST", upload, &[user, kind, more], Some("0000")).status,
            415,
            "{more:?}"
        );
    }
    assert_eq!(ask(platform.http, "POST", upload, &[user, user, kind], Some("0000")).status, 401);
    assert_eq!(ask(platform.http, "POST", upload, &[user, kind], Some("0000")).status, 200);
    // What a page of somebody else can make a browser send is not what git sends.
    for other in ["text/plain", "application/x-www-form-urlencoded", "application/x-git-receive-pack-request"]
    {
        let odd = [user, ("Content-Type", other), ("Origin", "http://elsewhere.example")];
        assert_eq!(ask(platform.http, "POST", upload, &odd, Some("0000")).status, 415, "{other}");
    }
    assert_eq!(ask(platform.http, "POST", upload, &[user], Some("0000")).status, 415);
    assert_eq!(ask(platform.http, "POST", upload, &[user, kind, kind], Some("0000")).status, 415);
}
