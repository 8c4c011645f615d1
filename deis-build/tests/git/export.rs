//! Trees written to a folder, the hostile ones among them.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _, sync::atomic::AtomicBool};

use deis_build::git::{Budget, GitError, Oid};

use super::support::{NULL, Sides};

/// Pushes a commit of the client's repository and writes it to a folder; the number of files.
fn export(sides: &Sides, commit: &str, out: &std::path::Path) -> Result<usize, GitError> {
    taken(sides, commit);
    sides.export(commit, out).map(|done| done.files)
}

fn taken(sides: &Sides, commit: &str) {
    let received = sides.push(&[(NULL, commit, "refs/heads/main")], &sides.pack(commit, None));
    assert_eq!((received.unpack_error.as_deref(), received.accepted().len()), (None, 1));
}

#[test]
fn a_tree_bomb_is_stopped_by_its_number_of_entries() {
    let sides = Sides::new();
    let mut id = sides.blob(b"");
    let mut mode = "100644";
    let mut commit = String::new();
    // Ten of ten of ten …: eleven objects, ten million files.
    for _ in 0..7 {
        let names: Vec<String> = (0..10).map(|i| i.to_string()).collect();
        let entries: Vec<_> = names.iter().map(|n| (mode, n.as_bytes(), id.as_str())).collect();
        (id, commit) = sides.tree(&entries);
        mode = "40000";
    }
    let received = sides.push(&[(NULL, &commit, "refs/heads/main")], &sides.pack(&commit, None));
    assert_eq!(received.accepted().len(), 1);
    let out = tempfile::tempdir().unwrap();
    let budget = Budget { entries: 1000, ..Budget::default() };
    let error = sides.export_within(&commit, out.path(), &budget).unwrap_err().to_string();
    assert!(error.contains("more than 1000 files and folders"), "{error}");
    // The same can be stopped from outside.
    let out = tempfile::tempdir().unwrap();
    let stopped = AtomicBool::new(true);
    let error = sides.server.export(&Oid::new(&commit).unwrap(), out.path(), &budget, &stopped).unwrap_err();
    assert!(matches!(error, GitError::Cancelled));
}

#[test]
fn bytes_are_counted_as_often_as_they_are_written() {
    let sides = Sides::new();
    fs::write(sides.work().join("copy"), vec![7; 3 << 20]).unwrap();
    let tip = sides.commit("file", &vec![7; 3 << 20]);
    export(&sides, &tip, tempfile::tempdir().unwrap().path()).unwrap();
    let out = tempfile::tempdir().unwrap();
    let budget = Budget { bytes: 4 << 20, ..Budget::default() };
    let error = sides.export_within(&tip, out.path(), &budget).unwrap_err().to_string();
    assert!(error.contains("larger than 4 MiB"), "{error}");
}

#[test]
fn links_that_may_lead_out_are_refused_by_name() {
    for target in ["/etc/passwd", "../x", "a/../../x"] {
        let sides = Sides::new();
        std::os::unix::fs::symlink(target, sides.work().join("Procfile")).unwrap();
        let tip = sides.commit("a", b"1");
        let error = export(&sides, &tip, tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
        assert!(error.contains("\"Procfile\"") && error.contains(target), "{error}");
        let commit = Oid::new(&tip).unwrap();
        assert!(sides.server.root_file(&commit, "Procfile", 100).is_err());
    }
    let sides = Sides::new();
    fs::create_dir(sides.work().join("deep")).unwrap();
    std::os::unix::fs::symlink("../a", sides.work().join("deep/up")).unwrap();
    let tip = sides.commit("a", b"1");
    let out = tempfile::tempdir().unwrap();
    assert_eq!(export(&sides, &tip, out.path()).unwrap(), 2);
    assert_eq!(fs::read_to_string(out.path().join("deep/up")).unwrap(), "1");
}

#[test]
fn any_bytes_are_a_name_but_not_the_same_twice() {
    let sides = Sides::new();
    let blob = sides.blob(b"x");
    let (_, odd) = sides.tree(&[
        ("100644", b"CON", &blob),
        ("100644", b"a:b", &blob),
        ("100644", b"\xff\xfe.txt", &blob),
    ]);
    let out = tempfile::tempdir().unwrap();
    assert_eq!(export(&sides, &odd, out.path()).unwrap(), 3);
    assert!(out.path().join(OsStr::from_bytes(b"\xff\xfe.txt")).is_file());
    let sides = Sides::new();
    let blob = sides.blob(b"x");
    let (_, twice) = sides.tree(&[("100644", b"a", &blob), ("100644", b"a", &blob)]);
    let error = export(&sides, &twice, tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
    assert!(error.contains("twice"), "{error}");
}

#[test]
fn what_is_marked_export_ignore_stays_out() {
    let sides = Sides::new();
    let write = |name: &str, text: &str| {
        let path = sides.work().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(".gitattributes", "/docs export-ignore\n*.psd export-ignore\n.gitattributes export-ignore\n");
    write("docs/a.md", "x");
    write("src/docs/b.md", "x");
    write("src/art.psd", "x");
    write("src/.gitattributes", "inner export-ignore\nkept.psd -export-ignore\n");
    write("src/inner/c", "x");
    write("src/kept.psd", "x");
    write("inner/d", "x");
    let tip = sides.commit("a", b"1");
    let out = tempfile::tempdir().unwrap();
    export(&sides, &tip, out.path()).unwrap();
    for gone in ["docs", "src/art.psd", "src/inner", ".gitattributes"] {
        assert!(!out.path().join(gone).exists(), "{gone}");
    }
    for kept in ["a", "src/docs/b.md", "src/kept.psd", "inner/d"] {
        assert!(out.path().join(kept).is_file(), "{kept}");
    }
}
