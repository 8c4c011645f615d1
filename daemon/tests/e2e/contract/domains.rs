//! Domains: what a host name is, and whose it is.

use serde_json::json;

use super::Caller;
use crate::test_platform::TestPlatform;

const DOMAINS: &str = "/v2/apps/web1/domains/";

#[test]
fn names_are_checked_and_kept_in_ascii() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    ann.post("/v2/apps/", r#"{"id":"web1"}"#);
    ann.post("/v2/apps/", r#"{"id":"web2"}"#);
    for (given, kept) in [
        ("foo.example.com", "foo.example.com"),
        ("dot.example.com.", "dot.example.com"),
        ("täst.de", "xn--tst-qla.de"),
        ("*.deis.example.com", "*.deis.example.com"),
        ("django.paas--sandbox", "django.paas--sandbox"),
        ("3com.com", "3com.com"),
        ("3333.xyz", "3333.xyz"),
        ("autotest.127.0.0.1.xip.io", "autotest.127.0.0.1.xip.io"),
        ("single", "single"),
    ] {
        let (status, answer) = ann.post(DOMAINS, &json!({"domain": given}).to_string());
        assert_eq!((status, &answer["domain"]), (201, &json!(kept)), "{given}: {answer}");
    }
    let long = ["a"; 128].join(".");
    for bad in [
        "*",
        "a.*.com",
        "under_score.com",
        "x.1",
        "1.2.3.4",
        "-a.com",
        "a..b",
        "a.com/path",
        "te--st.de",
        &long,
    ] {
        let (status, answer) = ann.post(DOMAINS, &json!({"domain": bad}).to_string());
        assert!(status == 400 && answer["domain"].is_array(), "{bad}: {status} {answer}");
    }
    let taken = "Domain is already in use by another application";
    for path in [DOMAINS, "/v2/apps/web2/domains/"] {
        ann.posts(
            path,
            &[
                (r#"{"domain":"foo.example.com"}"#, 400, taken),
                (r#"{"domain":"FOO.example.com"}"#, 400, taken),
            ],
        );
    }
    ann.posts(DOMAINS, &[(r#"{"domain":"web2"}"#, 400, taken), ("{}", 400, "This field is required.")]);
    let names: Vec<_> = ann.get(DOMAINS).1["results"].as_array().unwrap().clone();
    assert!(names.is_sorted_by_key(|d| d["domain"].as_str().unwrap().to_owned()));
    assert_eq!(ann.delete("/v2/apps/web1/domains/t%C3%A4st.de").0, 204);
    let gone = (404, json!("No Domain matches the given query."));
    assert_eq!(ann.delete("/v2/apps/web1/domains/xn--tst-qla.de"), gone);
}

#[test]
fn nobody_takes_the_names_of_others() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    ann.post("/v2/apps/", r#"{"id":"web1"}"#);
    ann.post("/v2/apps/", r#"{"id":"web2"}"#);
    for bad in ["*.com", "*.localhost", "*.LOCALHOST", "localhost", "deis", "Deis-builder", "deis.localhost"]
    {
        let (status, answer) = ann.post(DOMAINS, &json!({"domain": bad}).to_string());
        assert!(status == 400 && answer["domain"].is_array(), "{bad}: {status} {answer}");
    }
    let other = "/v2/apps/web2/domains/";
    assert_eq!(ann.post(DOMAINS, r#"{"domain":"a.b.example.com"}"#).0, 201);
    assert_eq!(ann.post(DOMAINS, r#"{"domain":"*.shop.org"}"#).0, 201);
    let taken = "Domain is already in use by another application";
    ann.posts(
        other,
        &[
            (r#"{"domain":"*.b.example.com"}"#, 400, taken),
            (r#"{"domain":"*.example.com"}"#, 400, taken),
            (r#"{"domain":"a.b.shop.org"}"#, 400, taken),
            (r#"{"domain":"*.b.shop.org"}"#, 400, taken),
            (r#"{"domain":"*.other.example.com"}"#, 201, "*.other.example.com"),
            (r#"{"domain":"shop.org"}"#, 201, "shop.org"),
        ],
    );
    assert_eq!(
        ann.post(DOMAINS, r#"{"domain":"*.b.example.com"}"#).0,
        201,
        "its own names are in nobody's way"
    );
    assert_eq!(ann.delete("/v2/apps/web1/domains/*.shop.org").0, 204);
    assert_eq!(ann.post(other, r#"{"domain":"a.b.shop.org"}"#).0, 201);
    assert_eq!(ann.delete("/v2/apps/web1/").0, 204);
    assert_eq!(ann.post(other, r#"{"domain":"*.example.com"}"#).0, 201, "a destroyed app leaves its zones");
}

#[test]
fn a_name_below_the_platform_is_its_short_form_everywhere() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    ann.post("/v2/apps/", r#"{"id":"web1"}"#);
    let (status, added) = ann.post(DOMAINS, r#"{"domain":"Blog2.LOCALHOST"}"#);
    assert_eq!((status, &added["domain"]), (201, &json!("Blog2")));
    let listed = ann.get(DOMAINS).1["results"].clone();
    assert!(listed.as_array().unwrap().contains(&added), "{listed}");
    assert_eq!(ann.delete("/v2/apps/web1/domains/blog2.localhost").0, 204);
}
