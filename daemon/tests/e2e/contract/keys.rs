//! SSH keys: ids of any shape, fingerprints, and whose they are.

use serde_json::json;

use super::Caller;
use crate::test_platform::TestPlatform;

#[test]
fn keys_are_kept_by_id_and_fingerprint() {
    let rig = TestPlatform::new();
    let ann = Caller::ann(&rig);
    let (status, key) = ann.post("/v2/keys/", r#"{"id":"a/b.c","public":"foo AAAA bar"}"#);
    assert_eq!(status, 201, "{key}");
    assert_eq!(key["fingerprint"], "69:3e:9a:f8:4d:3d:fc:c7:1e:64:0e:00:5b:dc:5e:2e");
    ann.posts(
        "/v2/keys/",
        &[
            (r#"{"id":"other","public":"foo AAAA bar"}"#, 400, "Public Key is already in use"),
            (r#"{"id":"a/b.c","public":"foo BBBB bar"}"#, 400, "SSH Key with this id already exists."),
            (r#"{"id":"x","public":"nothing"}"#, 400, "Key contains invalid base64 chars"),
            (r#"{"id":"x","public":"ssh-rsa !!!!"}"#, 400, "Key contains invalid base64 chars"),
            (
                r#"{"id":"","public":"nothing"}"#,
                400,
                r#"{"id":["This field may not be blank."],"public":["Key contains invalid base64 chars"]}"#,
            ),
            ("{}", 400, r#"{"id":["This field is required."],"public":["This field is required."]}"#),
            (
                r#"{"id":"a/b.c","public":"foo AAAA bar"}"#,
                400,
                r#"{"id":["SSH Key with this id already exists."],"public":["Public Key is already in use"]}"#,
            ),
            (r#"{"id":"me@box ed","public":"foo CCCC"}"#, 201, "me@box ed"),
        ],
    );
    for path in ["a%2Fb.c", "a/b.c", "a/b.c/"] {
        assert_eq!(ann.get(&format!("/v2/keys/{path}")).1["id"], "a/b.c", "{path}");
    }
    assert_eq!(ann.get("/v2/keys/me%40box%20ed").1["id"], "me@box ed");
    let bob = ann.registers("bob");
    assert_eq!(bob.get("/v2/keys/").1["count"], 0);
    assert_eq!(bob.delete("/v2/keys/a%2Fb.c"), (404, json!("No Key matches the given query.")));
    assert_eq!(ann.delete("/v2/keys/a%2Fb.c").0, 204);
    assert_eq!(ann.delete("/v2/keys/a%2Fb.c").0, 404);
    assert_eq!(ann.get("/v2/keys/").1["count"], 1);
}
