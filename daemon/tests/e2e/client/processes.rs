//! Commands that act on processes, and words that must not lead elsewhere.

use super::super::test_platform::{STATIC, TestPlatform};

fn names(rig: &TestPlatform, app: &str) -> Vec<String> {
    let pods: serde_json::Value = serde_json::from_str(&rig.deis(&["ps", "-a", app, "--json"])).unwrap();
    pods["results"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn one_process_restarts_alone() {
    let rig = TestPlatform::new();
    rig.app("site", STATIC).git(&["push", "deis", "main"]);
    for wrong in [&["scale", "web=-1"][..], &["scale", "web=1", "web=2"]] {
        assert_eq!(rig.try_deis(&[wrong, &["-a", "site"]].concat()).0, 2, "{wrong:?}");
    }
    let (_, said) = rig.try_deis(&["scale", "web=2", "-a", "site"]);
    assert!(said.contains("Scaling processes... but first, coffee! done"), "{said}");
    let before = names(&rig, "site");
    rig.deis(&["restart", &before[0], "-a", "site"]);
    let after = names(&rig, "site");
    assert!(
        after.len() == 2 && !after.contains(&before[0]) && after.contains(&before[1]),
        "{before:?} {after:?}"
    );
    rig.deis(&["restart", "web", "-a", "site"]);
    assert!(!names(&rig, "site").iter().any(|name| after.contains(name)));
    let (code, said) = rig.try_deis(&["restart", &before[0], "-a", "site"]);
    assert!(code == 1 && said.contains("Could not find any processes to restart"), "{code}: {said}");
}

#[test]
fn no_word_leads_to_another_request() {
    let rig = TestPlatform::new();
    rig.deis(&["create", "site", "--no-remote"]);
    rig.deis(&["config:set", "A=1", "-a", "site"]);
    rig.deis(&["config:set", "A=2", "-a", "site"]);
    let releases = rig.releases("site").len();
    for (args, expected) in [
        (&["domains:remove", "..", "-a", "site"][..], 2),
        (&["domains:remove", ".", "-a", "site"], 2),
        (&["keys:remove", ".."], 2),
        (&["restart", "../releases/rollback?", "-a", "site"], 1),
        (&["info", "-a", "site/domains"], 2),
        (&["destroy", "-a", "site/domains/site", "--confirm", "site/domains/site"], 2),
    ] {
        let (code, said) = rig.try_deis(args);
        assert_eq!(code, expected, "deis {args:?}: {said}");
    }
    assert_eq!(rig.releases("site").len(), releases);
    assert!(rig.deis(&["domains", "-a", "site"]).contains("site"));
}

#[test]
fn a_one_off_command_keeps_its_words() {
    let rig = TestPlatform::new();
    rig.app("site", STATIC).git(&["push", "deis", "main"]);
    let run = |words: &[&str]| rig.try_deis(&[&["run", "-a", "site"], words].concat());
    assert_eq!(run(&["--", "sh", "-c", "exit 3"]).0, 3);
    assert_eq!(run(&["exit 4"]).0, 4);
    let (code, said) = run(&["printf", "%s|", "$HOME", "a  b", "--json"]);
    assert!(code == 0 && said.contains("$HOME|a  b|--json|"), "{code}: {said}");
    let (code, said) = run(&["--json", "ls"]);
    assert!(code == 2 && said.contains("--json"), "{code}: {said}");
}
