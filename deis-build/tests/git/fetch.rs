//! What is served to a fetch, and what is not.

use deis_build::git::GitError;

use super::support::{NULL, Sides};

/// What the server answers to these lines of a client that has nothing and is done.
fn ask(sides: &Sides, lines: &[String]) -> (Result<(), GitError>, String) {
    let mut request = Vec::new();
    for line in lines {
        request.extend(format!("{:04x}{line}\n", line.len() + 5).bytes());
    }
    request.extend(b"00000009done\n");
    let mut answer = Vec::new();
    let ended = sides.server.upload(&request[..], &mut answer, true);
    (ended, String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn only_what_a_ref_reaches_is_served() {
    let sides = Sides::new();
    let first = sides.commit("a", b"1");
    let second = sides.commit("b", b"2");
    sides.push_branch(&second);
    sides.git(&["checkout", "--quiet", "--orphan", "other"]);
    let secret = sides.commit("secret", b"never accepted");
    let pushed = sides.push(&[(NULL, &secret, "refs/heads/side")], &sides.pack(&secret, None));
    assert_eq!(pushed.accepted().len(), 1);
    // Its build failed: the objects are there, and no ref.
    let tree = sides.git(&["rev-parse", "main^{tree}"]);
    for id in [&secret, &tree, &"1".repeat(40)] {
        let (ended, answer) = ask(&sides, &[format!("want {id}")]);
        assert!(ended.is_err() && answer.contains(&format!("not our ref {id}")), "{answer}");
    }
    for id in [&first, &second] {
        let (ended, answer) = ask(&sides, &[format!("want {id}")]);
        assert!(ended.is_ok() && answer.contains("PACK"), "{answer}");
    }
}

#[test]
fn a_history_ends_where_it_is_asked_to() {
    let sides = Sides::new();
    let ids: Vec<String> = (0..4).map(|i| sides.commit("a", i.to_string().as_bytes())).collect();
    sides.push_branch(&ids[3]);
    sides.server.adopt_head("refs/heads/main").unwrap();
    for (name, of) in [("tree", "HEAD^{tree}"), ("blob", "HEAD:a"), ("first", &ids[0])] {
        sides.git(&["tag", name, of]);
    }
    for (name, of) in [("of-a-tree", "tree"), ("of-first", "first"), ("of-of-first", "of-first")] {
        sides.git(&["tag", "--annotate", "--message", "x", name, of]);
    }
    sides.git(&["push", "--quiet", sides.server.path().to_str().unwrap(), "--tags"]);
    let want = format!("want {}", ids[3]);
    let (_, answer) = ask(&sides, &[want.clone(), "deepen 2".to_owned()]);
    assert!(answer.starts_with(&format!("0034shallow {}0000", ids[2])), "{answer}");
    let deeper = [want.clone(), format!("shallow {}", ids[2]), "deepen 3".to_owned()];
    let (_, answer) = ask(&sides, &deeper);
    assert!(answer.starts_with(&format!("0034shallow {}0036unshallow {}0000", ids[1], ids[2])), "{answer}");
    let (_, answer) = ask(&sides, &[want.clone(), "deepen 9".to_owned()]);
    assert!(answer.starts_with("00000008NAK"), "{answer}");
    // Whatever a ref names in the end, what is no history excludes none.
    for name in ["tree", "blob", "of-a-tree"] {
        let (_, answer) = ask(&sides, &[want.clone(), format!("deepen-not {name}")]);
        assert!(!answer.contains("ERR") && !answer.contains("shallow"), "{name}: {answer}");
    }
    for name in ["first", "of-first", "of-of-first"] {
        let (_, answer) = ask(&sides, &[want.clone(), format!("deepen-not {name}")]);
        assert!(
            !answer.contains("ERR") && answer.contains(&format!("shallow {}", ids[1])),
            "{name}: {answer}"
        );
    }
    let (_, answer) = ask(&sides, &[want.clone(), "deepen-not nowhere".to_owned()]);
    assert!(answer.contains("ERR git upload-pack: ambiguous deepen-not: deepen-not nowhere"), "{answer}");
    let (_, answer) = ask(&sides, &[want.clone(), "deepen-not HEAD".to_owned()]);
    assert!(answer.contains("no commits selected for shallow requests"), "{answer}");
    let (_, answer) = ask(&sides, &[want.clone(), "deepen-not refs/heads/main".to_owned()]);
    assert!(answer.contains("ERR no commits selected"), "{answer}");
    let (ended, answer) = ask(&sides, &[want, "filter blob:none".to_owned()]);
    assert!(ended.is_err() && answer.contains("is not served here"), "{answer}");
}
