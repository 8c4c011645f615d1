//! Clients and contents that mean harm, beyond those that have a test of their own concept.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
    sync::atomic::AtomicBool,
};

use deis_build::git::{Budget, Limits};
use flate2::{Compression, write::ZlibEncoder};

use super::support::{NULL, Sides, packs};

const MAIN: &str = "refs/heads/main";

/// What a request is refused with before its pack.
fn error_for(sides: &Sides, request: &[u8]) -> String {
    let answer = sides.server.receive(request, &Limits::default(), &AtomicBool::new(false));
    match answer {
        Err(refused) => refused.error.for_client(),
        Ok(answer) => panic!("{:?} was taken: {answer:?}", String::from_utf8_lossy(request)),
    }
}

#[test]
fn what_is_no_command_is_never_guessed() {
    let sides = Sides::new();
    let tip = sides.commit("a", b"1");
    let upper = tip.to_uppercase();
    let long = "1".repeat(64);
    for line in [
        "push-cert\0report-status".to_owned(),
        format!("{NULL} {upper} {MAIN}\0report-status"),
        format!("{} {long} {MAIN}\0report-status object-format=sha256", "0".repeat(64)),
        format!("{NULL} {tip}"),
        format!("{NULL}\t{tip}\t{MAIN}"),
        format!("{tip} {MAIN}"),
        String::from("create refs/heads/main"),
    ] {
        let request = format!("{:04x}{line}0000", line.len() + 4);
        assert!(error_for(&sides, request.as_bytes()).contains("a command is malformed"), "{line:?}");
    }
    for request in ["fff1", "ffff", "-001", "00 4", "+004", "0x04"] {
        let request = format!("{request}{}", "x".repeat(70_000));
        assert!(error_for(&sides, request.as_bytes()).contains("a packet line is malformed"), "{request:.9}");
    }
    // What nobody knows changes nothing: capabilities, a session's name, a version asked for.
    let all = "report-status object-format=sha1 session-id=x\u{1b}[2J agent= version=9 nonsense atomic=yes";
    let pack = sides.pack(&tip, None);
    let received = sides.push_with(&[(NULL, &tip, MAIN)], all, &pack, &Limits::default());
    assert_eq!((received.unpack_error.clone(), received.accepted().len()), (None, 1));
    assert!(!received.is_atomic());
}

/// The head of an object in a pack.
fn head(kind: u8, mut size: usize) -> Vec<u8> {
    let mut head = vec![(kind << 4) | u8::try_from(size & 15).unwrap()];
    size >>= 4;
    while size > 0 {
        *head.last_mut().unwrap() |= 0x80;
        head.push(u8::try_from(size & 0x7f).unwrap());
        size >>= 7;
    }
    head
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A pack of these entries, its checksum right.
fn pack_of(entries: &[Vec<u8>]) -> Vec<u8> {
    let number = u32::try_from(entries.len()).unwrap().to_be_bytes();
    let mut pack = [&b"PACK\0\0\0\x02"[..], &number, &entries.concat()[..]].concat();
    let mut sum = Command::new("sha1sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    sum.stdin.take().unwrap().write_all(&pack).unwrap();
    let sum = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
    pack.extend((0..20).map(|place| u8::from_str_radix(&sum[place * 2..place * 2 + 2], 16).unwrap()));
    pack
}

#[test]
fn deltas_that_lie_are_refused() {
    const BLOB: u8 = 3;
    const OFFSET: u8 = 6;
    const BASE: u8 = 7;
    let sides = Sides::new();
    let tip = sides.commit("a", b"1");
    let blob = [head(BLOB, 11), deflated(b"hello hello")].concat();
    // Sizes of base and result, then a copy of eleven bytes from the start.
    let good = [11_u8, 11, 0x90, 11];
    let offset =
        |back: &[u8], delta: &[u8]| [head(OFFSET, delta.len()), back.to_vec(), deflated(delta)].concat();
    let distance = [u8::try_from(blob.len()).unwrap()];
    let base = |id: &[u8], delta: &[u8]| [head(BASE, delta.len()), id.to_vec(), deflated(delta)].concat();
    // The form itself is right: what is refused is the lie in it.
    let honest = pack_of(&[blob.clone(), offset(&distance, &good)]);
    let received = sides.push(&[(NULL, &tip, MAIN)], &honest);
    assert_eq!(received.unpack_error, None);
    assert_eq!(received.commands[0].refused.as_deref(), Some("missing necessary objects"));
    for (name, entry) in [
        ("a base that is itself", offset(&[0], &good)),
        ("a base before the pack", offset(&[0x87, 0x68], &good)),
        ("a base in the middle of an object", offset(&[distance[0] - 1], &good)),
        ("a base that nobody has", base(&[0x11; 20], &good)),
        ("a base of another size", offset(&distance, &[12, 11, 0x90, 11])),
        ("a result that is shorter", offset(&distance, &[11, 20, 0x90, 11])),
        ("a result that is longer", offset(&distance, &[11, 5, 0x90, 11])),
        ("a copy from beyond the base", offset(&distance, &[11, 11, 0x91, 200, 11])),
        ("a copy that breaks off", offset(&distance, &[11, 11, 0xff])),
        ("an instruction that is none", offset(&distance, &[11, 11, 0])),
        (
            "a result of 2^60 bytes",
            offset(&distance, &[&[11_u8][..], &[0xff; 8], &[0x0f, 0x90, 11]].concat()),
        ),
    ] {
        let received = sides.push(&[(NULL, &tip, MAIN)], &pack_of(&[blob.clone(), entry]));
        let said = received.unpack_error.as_deref().unwrap_or_default();
        assert!(!said.is_empty() && received.accepted().is_empty(), "{name}: {received:?}");
        assert_eq!(packs(sides.server.path()), 0, "{name}");
    }
    sides.is_clean();
}

#[test]
fn chains_are_followed_without_end_and_without_harm() {
    let sides = Sides::new();
    let tip = sides.commit("a", b"1");
    let mut ids = vec![tip.clone()];
    let mut kind = "commit";
    for number in 0..300 {
        let target = ids.last().unwrap();
        let tag = format!("object {target}\ntype {kind}\ntag t{number}\ntagger a <a> 0 +0000\n\nx\n");
        ids.push(sides.git_with(&["hash-object", "-t", "tag", "-w", "--stdin"], tag.as_bytes()));
        kind = "tag";
    }
    sides.push_branch(&tip);
    let last = ids.last().unwrap().clone();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let received = sides.push(&[(NULL, &last, "refs/tags/deep")], &sides.pack_of(&names));
    assert_eq!((received.unpack_error.clone(), received.accepted().len()), (None, 1));
    assert!(sides.server.update_refs(&received.accepted(), false).unwrap().is_empty());
    // No branch by way of a tag, and whoever fetches gets all of the chain.
    let branch = sides.push(&[(NULL, &last, "refs/heads/deep")], &sides.pack_of(&[&last]));
    assert_eq!(branch.commands[0].refused.as_deref(), Some("a branch must point to a commit"));
    let url = super::server::serve(super::server::Transport::Git);
    let url = format!("{url}{}", sides.server.path().display());
    sides.git(&["init", "--quiet", "--bare", "back"]);
    sides.git(&["-C", "back", "fetch", "--quiet", &url, "refs/tags/*:refs/tags/*"]);
    assert_eq!(sides.git(&["-C", "back", "rev-parse", "deep^{commit}"]), tip);
    sides.git(&["-C", "back", "fsck", "--full", "--strict"]);
    sides.is_clean();
}

#[test]
fn paths_that_no_file_system_takes_are_said() {
    let sides = Sides::new();
    let blob = sides.blob(b"x");
    let long = "n".repeat(300);
    let (mut tree, mut commit) = sides.tree(&[("100644", long.as_bytes(), &blob)]);
    for (depth, words) in [(0, "longer than a file system takes"), (210, "nested too deeply")] {
        for _ in 0..depth {
            (tree, commit) = sides.tree(&[("40000", b"d", &tree)]);
        }
        let received = sides.push(&[(NULL, &commit, MAIN)], &sides.pack(&commit, None));
        assert_eq!((received.unpack_error.clone(), received.accepted().len()), (None, 1));
        let out = tempfile::tempdir().unwrap();
        let error = sides.export(&commit, out.path()).unwrap_err().to_string();
        assert!(error.contains(words) && error.chars().count() < 250, "{error}");
    }
}

#[test]
fn a_folder_and_a_file_of_one_name_are_refused_in_any_order() {
    let sides = Sides::new();
    let blob = sides.blob(b"x");
    let target = sides.blob(b"real");
    let (inner, _) = sides.tree(&[("100644", b"passwd", &blob)]);
    let (inner_id, blob_id, link) = (inner.as_str(), blob.as_str(), target.as_str());
    let cases: [[(&str, &[u8], &str); 2]; 5] = [
        [("40000", b"a", inner_id), ("100644", b"a", blob_id)],
        [("100644", b"a", blob_id), ("40000", b"a", inner_id)],
        [("120000", b"a", link), ("40000", b"a", inner_id)],
        [("40000", b"a", inner_id), ("120000", b"a", link)],
        [("40000", b"a", inner_id), ("40000", b"a", inner_id)],
    ];
    for entries in cases {
        let (_, commit) = sides.tree(&entries);
        let tree = sides.git(&["rev-parse", &format!("{commit}^{{tree}}")]);
        let pack = sides.pack_of(&[blob_id, link, inner_id, &tree, &commit]);
        let received = sides.push(&[(NULL, &commit, MAIN)], &pack);
        // Refused on receipt or when it is written; never written through a link.
        if received.accepted().is_empty() {
            continue;
        }
        let out = tempfile::tempdir().unwrap();
        let error = sides.export(&commit, out.path()).unwrap_err().to_string();
        assert!(error.contains("twice"), "{error}");
    }
}

#[test]
fn what_a_source_says_about_git_is_data() {
    let sides = Sides::new();
    let write = |name: &str, text: &str| fs::write(sides.work().join(name), text).unwrap();
    write(
        ".gitmodules",
        "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c touch% /tmp/never\n\tupdate = !id\n",
    );
    write(".gitconfig", "[core]\n\tfsmonitor = id\n\thooksPath = .\n");
    write(".lfsconfig", "[lfs]\n\turl = http://127.0.0.1:1/\n");
    write("version", "$Format:%H$ $Id$\r\n");
    write(".gitattributes", "version export-subst ident text eol=lf filter=lfs diff=evil merge=evil\n");
    let tip = sides.commit("a", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    sides.push_branch(&tip);
    let out = tempfile::tempdir().unwrap();
    assert_eq!(sides.export(&tip, out.path()).unwrap().files, 6);
    for name in [".gitmodules", ".gitconfig", ".lfsconfig", ".gitattributes", "a"] {
        let (there, here) = (fs::read(out.path().join(name)), fs::read(sides.work().join(name)));
        assert_eq!(there.unwrap(), here.unwrap(), "{name}");
    }
    let text = fs::read_to_string(out.path().join("version")).unwrap();
    assert!(text.starts_with("$Format:%H$ $Id$"), "{text:?}");
}

#[test]
fn patterns_cost_what_they_are_worth() {
    // A file of patterns that has no end.
    let sides = Sides::new();
    fs::write(sides.work().join(".gitattributes"), "x export-ignore\n".repeat(10_000)).unwrap();
    let tip = sides.commit("a", b"1");
    sides.push_branch(&tip);
    let out = tempfile::tempdir().unwrap();
    let error = sides.export_within(&tip, out.path(), &Budget::default()).unwrap_err().to_string();
    assert!(error.contains("\".gitattributes\"") && error.contains("larger than 128 KiB"), "{error}");
    // One that has many ways to fail.
    let sides = Sides::new();
    let stars = "*a".repeat(20) + "b export-ignore\n" + &"**/a".repeat(20) + "/b export-ignore\n";
    fs::write(sides.work().join(".gitattributes"), stars).unwrap();
    let tip = sides.commit(&"a".repeat(200), b"1");
    sides.push_branch(&tip);
    let out = tempfile::tempdir().unwrap();
    assert_eq!(sides.export(&tip, out.path()).unwrap().files, 2);
}
