//! What is wanted of a process type outlives a build that lacks the type, and a slip of the pen takes no site down.

use super::test_platform::{PYTHON, TestPlatform, Work};

/// Its buildpack suggests no process types: those of the Procfile are all.
const WEB: &str = "web: python3 app.py\n";

fn structure(rig: &TestPlatform, app: &str) -> serde_json::Value {
    let info: serde_json::Value = serde_json::from_str(&rig.deis(&["info", "-a", app, "--json"])).unwrap();
    info["structure"].clone()
}

fn push(work: &Work, procfile: &str) -> (bool, String) {
    work.commit(&[("Procfile", procfile)]);
    work.try_git(&["push", "deis", "main"])
}

#[test]
fn a_mistyped_web_is_refused_before_a_release_is_made() {
    let rig = TestPlatform::new();
    let work = rig.app("slip", PYTHON);
    let good = "web: python3 app.py\nworker: exec sleep 1000\n";
    assert!(push(&work, good).0);
    rig.deis(&["scale", "web=2", "worker=1", "-a", "slip"]);
    let releases = rig.releases("slip").len();

    let (ok, said) = push(&work, "wbe: python3 app.py\nworker: exec sleep 1000\n");
    assert!(!ok, "{said}");
    for words in
        ["no process type web", "is \"wbe\" in its Procfile meant to be \"web\"?", "deis scale web=0"]
    {
        assert!(said.contains(words), "{words:?} is missing in {said}");
    }
    assert_eq!(rig.releases("slip").len(), releases, "no release was made");
    assert_eq!(rig.get("slip.localhost").0, 200);
    assert_eq!(structure(&rig, "slip"), serde_json::json!({"web": 2, "worker": 1}));

    // The way out that the message names.
    rig.deis(&["scale", "web=0", "-a", "slip"]);
    let (ok, said) = work.try_git(&["push", "deis", "main"]);
    assert!(ok, "{said}");
    assert_eq!(structure(&rig, "slip"), serde_json::json!({"web": 0, "worker": 1}));
}

#[test]
fn the_next_build_that_has_a_type_starts_as_many_as_were_wanted() {
    let rig = TestPlatform::new();
    let work = rig.app("kept", PYTHON);
    let both = "web: python3 app.py\nworker: exec sleep 1000\n";
    assert!(push(&work, both).0);
    rig.deis(&["scale", "worker=2", "-a", "kept"]);
    let (ok, said) = push(&work, "web: python3 app.py\nwroker: exec sleep 1000\n");
    assert!(ok, "{said}");
    let words =
        "worker=2 runs now, and this build has no process type worker; is \"wroker\" in its Procfile meant";
    assert!(said.contains(words), "{said}");
    let (ok, said) = push(&work, WEB);
    assert!(ok && !said.contains("runs now, and"), "{said}");
    assert_eq!(structure(&rig, "kept"), serde_json::json!({"web": 1, "worker": 0}));
    let (ok, said) = push(&work, both);
    assert!(ok, "{said}");
    assert_eq!(structure(&rig, "kept"), serde_json::json!({"web": 1, "worker": 2}));
    let shown = rig.deis(&["ps", "-a", "kept"]);
    assert_eq!(shown.matches(" up (v5)").count(), 3, "{shown}");
}

#[test]
fn a_first_push_without_web_is_no_trap() {
    let rig = TestPlatform::new();
    let work = rig.app("first", PYTHON);
    assert!(push(&work, "wbe: python3 app.py\n").0, "nothing served before, so nothing is lost");
    let (ok, said) = push(&work, WEB);
    assert!(ok, "{said}");
    assert_eq!(rig.get("first.localhost").0, 200);
}
