//! Registration, log-in, tokens, passwords, and who is let in.

use serde_json::json;

use super::Caller;
use crate::{test_platform::TestPlatform, web::ask};

#[test]
fn no_web_page_becomes_the_first_user() {
    let rig = TestPlatform::without_users(&[]);
    let headers = [("Origin", "http://evil.example"), ("Content-Type", "application/json")];
    let body = r#"{"username":"eve","password":"secret"}"#;
    let answer = ask(rig.http, "POST", "/v2/auth/register/", &headers, Some(body));
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.body.contains("deis register"), "{answer:?}");
    rig.deis(&["register", &rig.url(), "--username", "ann", "--password", "secret"]);
    assert_eq!(Caller::ann(&rig).get("/v2/auth/whoami/").1["is_superuser"], json!(true));
}

#[test]
fn the_first_user_rules_and_registers_the_others() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    let (_, me) = ann.get("/v2/auth/whoami/");
    assert_eq!((&me["is_superuser"], &me["is_staff"]), (&json!(true), &json!(true)));
    let body = r#"{"username":"bob","password":"secret","is_superuser":true,"is_staff":true}"#;
    assert_eq!(Caller::anonymous(&rig).post("/v2/auth/register/", body).0, 403);
    let (status, bob) = ann.post("/v2/auth/register/", body);
    assert_eq!((status, &bob["is_superuser"], &bob["is_staff"]), (201, &json!(false), &json!(false)));
    let bob = Caller::login(&rig, "bob", "secret");
    let (status, answer) = bob.post("/v2/auth/register/", r#"{"username":"eve","password":"secret"}"#);
    assert_eq!(
        (status, answer),
        (403, json!({"detail": "You do not have permission to perform this action."}))
    );
    ann.posts(
        "/v2/auth/register/",
        &[
            (r#"{"username":"bob","password":"x"}"#, 400, "A user with that username already exists."),
            (
                r#"{"username":"b b","password":"x"}"#,
                400,
                "Enter a valid username. This value may contain only letters, numbers and @/./+/-/_ characters.",
            ),
            (
                r#"{"username":"","password":""}"#,
                400,
                r#"{"password":["This field may not be blank."],"username":["This field may not be blank."]}"#,
            ),
            (
                r#"{"username":"x","password":[],"email":5,"first_name":["x"]}"#,
                400,
                r#""email":["Enter a valid email address."],"first_name":["Not a valid string."],"password":["Not a"#,
            ),
            (r#"{"username":"blank","password":"   "}"#, 201, "blank"),
            (r#"{"username":"number","password":12345}"#, 201, "number"),
            ("{}", 400, "This field is required."),
            (r#"{"username":"x","password":"x","email":"no"}"#, 400, "Enter a valid email address."),
            (r#"{"username":"x","password":"x","email":null}"#, 201, "date_joined"),
            ("[]", 400, "non_field_errors"),
            ("{", 400, "JSON parse error"),
        ],
    );
    Caller::login(&rig, "blank", "   ");
    Caller::login(&rig, "number", "12345");
    assert_eq!(ann.get("/v2/users/").1["count"], 5);
    assert_eq!(bob.get("/v2/users/").0, 403);
}

#[test]
fn a_token_stays_until_it_is_regenerated() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    assert_eq!(ann.token, Caller::ann(&rig).token);
    let (status, new) = ann.post("/v2/auth/tokens/", "");
    assert_eq!(status, 200);
    assert_eq!(ann.get("/v2/auth/whoami/"), (401, json!({"detail": "Invalid token."})));
    let ann = Caller::ann(&rig);
    assert_eq!(new["token"], ann.token);
    let bob = ann.registers("bob");
    assert_eq!(bob.post("/v2/auth/tokens/", r#"{"username":"ann"}"#).0, 403);
    assert_eq!(bob.post("/v2/auth/tokens/", r#"{"all":true}"#).0, 403);
    assert_eq!(ann.post("/v2/auth/tokens/", r#"{"username":"nobody"}"#).0, 404);
    assert_eq!(ann.post("/v2/auth/tokens/", r#"{"username":"bob"}"#).0, 200);
    assert_eq!(bob.get("/v2/auth/whoami/").0, 401);
    assert_eq!(ann.post("/v2/auth/tokens/", r#"{"all":true}"#), (200, json!("")));
    assert_eq!(ann.get("/v2/auth/whoami/").0, 401);
    assert_eq!(Caller::ann(&rig).get("/v2/auth/whoami/").0, 200);
}

#[test]
fn passwords() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    let bob = ann.registers("bob");
    bob.posts(
        "/v2/auth/passwd/",
        &[
            ("{}", 400, "new_password is a required field"),
            (r#"{"new_password":"n"}"#, 400, "password is a required field"),
            (r#"{"new_password":"n","password":"wrong"}"#, 401, "Current password does not match"),
            (r#"{"new_password":"n","password":"secret","username":"ann"}"#, 403, "permission"),
            (r#"{"new_password":"n","password":"secret"}"#, 200, "password set"),
        ],
    );
    assert_eq!(ann.post("/v2/auth/passwd/", r#"{"username":"bob","new_password":"again"}"#).0, 200);
    assert_eq!(bob.get("/v2/auth/whoami/").0, 200, "tokens outlive a change of the password");
    Caller::login(&rig, "bob", "again");
    let (status, answer) =
        Caller::anonymous(&rig).post("/v2/auth/login/", r#"{"username":"bob","password":"secret"}"#);
    assert_eq!(status, 400);
    assert_eq!(answer, json!({"non_field_errors": ["Unable to log in with provided credentials."]}));
}

#[test]
fn who_is_let_in() {
    let rig = TestPlatform::new();
    let nobody = Caller::anonymous(&rig);
    assert_eq!(nobody.get("/v2/").0, 401);
    assert_eq!(Caller::ann(&rig).get("/v2/"), (200, json!({})));
    let refused = (401, json!({"detail": "Authentication credentials were not provided."}));
    for path in ["/v2/apps/", "/v2/apps/x/", "/v2/apps/x/config/", "/v2/keys", "/v2/auth/whoami", "/v2/users"]
    {
        assert_eq!(nobody.get(path), refused, "{path}");
    }
    let odd = Caller { rig: &rig, token: "a b".to_owned() };
    assert_eq!(
        odd.get("/v2/apps").1["detail"],
        "Invalid token header. Token string should not contain spaces."
    );
    let ann = Caller::ann(&rig);
    assert_eq!(ann.call("PUT", "/v2/apps/", None), (405, json!({"detail": "Method \"PUT\" not allowed."})));
    assert_eq!(ann.get("/v2/nothing/here"), (404, json!({"detail": "Not found."})));
    assert_eq!(nobody.get("/healthz"), (200, json!("OK")));
    assert_eq!(nobody.get("/readiness"), (200, json!("OK")));
    let head = ask(rig.http, "GET", "/v2/apps", &[], None).head;
    for line in ["deis_api_version: 2.3", "www-authenticate: token", "x-content-type-options: nosniff"] {
        assert!(head.contains(line), "{line:?} is missing in {head}");
    }
}

#[test]
fn an_account_can_be_cancelled_once_it_owns_nothing() {
    let rig = TestPlatform::new();
    let bob = Caller::ann(&rig).registers("bob");
    assert_eq!(bob.post("/v2/apps/", r#"{"id":"mine"}"#).0, 201);
    let (status, answer) = bob.delete("/v2/auth/cancel/");
    assert_eq!(status, 409);
    assert!(
        answer["detail"]
            .as_str()
            .unwrap()
            .contains("still has applications assigned. Delete or transfer ownership")
    );
    assert_eq!(bob.delete("/v2/apps/mine/").0, 204);
    assert_eq!(bob.delete("/v2/auth/cancel/").0, 204);
    assert_eq!(bob.get("/v2/auth/whoami/").0, 401);
}

#[test]
fn a_platform_keeps_an_administrator() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    let (status, answer) = ann.delete("/v2/auth/cancel/");
    assert_eq!(
        (status, answer),
        (409, json!({"detail": "ann is the last administrator, and a platform needs one."}))
    );
    ann.registers("bob");
}

#[test]
fn a_body_that_is_too_large_is_refused_unread() {
    let rig = TestPlatform::new();
    let headers = [("Content-Type", "application/json"), ("Content-Length", "9000000000")];
    let answer = ask(rig.http, "POST", "/v2/auth/login/", &headers, None);
    assert_eq!((answer.status, answer.body.as_str()), (413, r#"{"detail":"The request is too large."}"#));
}

#[test]
fn forms_and_media_types() {
    let rig = TestPlatform::new();
    let send = |headers: &[(&str, &str)], body: &str| {
        let answer = ask(rig.http, "POST", "/v2/auth/login/", headers, Some(body));
        (answer.status, answer.body)
    };
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let (status, body) = send(&[form], "username=ann&password=secret");
    assert!(status == 200 && body.contains("token"), "{status} {body}");
    let (status, body) = send(&[form], "username=&password=");
    assert!(status == 400 && body.contains("username") && body.contains("password"), "{status} {body}");
    assert_eq!(send(&[("Content-Type", "text/xml")], "<a/>").0, 415);
    let json = r#"{"username":"ann","password":"secret"}"#;
    for accept in ["", "APPLICATION/JSON", "text/html, */*;q=0.1"] {
        assert_eq!(send(&[("Accept", accept)], json).0, 200, "{accept:?}");
    }
    assert_eq!(send(&[("Accept", "text/html")], json).0, 406);
}
