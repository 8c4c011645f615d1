//! The client that fetches buildpacks, from a repository of the real git.

use std::{fs, sync::atomic::AtomicBool};

use deis_build::git::fetch_remote;

use super::support::Sides;

#[test]
fn branches_tags_and_commits_can_be_fetched() {
    let sides = Sides::new();
    let first = sides.commit("bin", b"one");
    sides.git(&["tag", "v1"]);
    let second = sides.commit("bin", b"two");
    sides.git(&["branch", "side", &first]);
    let url = format!("file://{}", sides.work().display());
    for (reference, commit, content) in [
        (None, &second, "two"),
        (Some("main"), &second, "two"),
        (Some("side"), &first, "one"),
        (Some("v1"), &first, "one"),
        (Some(first.as_str()), &first, "one"),
    ] {
        let out = tempfile::tempdir().unwrap();
        let got = fetch_remote(&url, reference, out.path(), &AtomicBool::new(false)).unwrap();
        assert_eq!(got.as_str(), commit, "{reference:?}");
        assert_eq!(fs::read_to_string(out.path().join("bin")).unwrap(), content);
    }
}

#[test]
fn what_is_not_there_is_said() {
    let sides = Sides::new();
    sides.commit("a", b"1");
    let url = format!("file://{}", sides.work().display());
    let out = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let error = fetch_remote(&url, Some("nowhere"), out.path(), &never).unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
    assert!(fetch_remote("file:///nowhere/at/all", None, out.path(), &never).is_err());
}

#[test]
fn a_password_in_a_url_is_not_repeated() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("pack");
    std::fs::create_dir(&folder).unwrap();
    let url = "http://ann:s3cret@127.0.0.1:1/pack.git";
    let error = fetch_remote(url, None, &folder, &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:1/pack.git") && !error.contains("s3cret"), "{error}");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1, "what was needed meanwhile is gone");
}
