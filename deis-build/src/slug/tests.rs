//! Random folders, packed and unpacked; and archives that must not be unpacked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::{archive::Packed, *};

/// Numbers that look random and are the same each time (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

/// An entry to be made.
#[derive(Clone, Debug)]
enum Made {
    Folder { mode: u32 },
    File { mode: u32, content: Vec<u8> },
    Link { target: PathBuf },
    HardLink { of: PathBuf },
}

/// A folder with entries of all types and times, in the order of the paths.
fn random_tree(random: &mut Random) -> BTreeMap<PathBuf, (Made, u64)> {
    let mut tree: BTreeMap<PathBuf, (Made, u64)> = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    let mut files = Vec::new();
    for i in 0..5 + random.below(20) {
        let name = ["a", "B", "ü", "with space", ".hidden", "x\ny"][random.below(6)];
        let path = folders[random.below(folders.len())].join(format!("{name}{i}"));
        let made = match random.below(10) {
            0..=2 => {
                folders.push(path.clone());
                Made::Folder { mode: [0o755, 0o700, 0o555, 0o775][random.below(4)] }
            }
            3 => Made::Link {
                target: PathBuf::from(["nowhere", "../a0", "/etc/passwd", "."][random.below(4)]),
            },
            4 if !files.is_empty() => {
                let of: &PathBuf = &files[random.below(files.len())];
                Made::HardLink { of: of.clone() }
            }
            _ => {
                files.push(path.clone());
                let content =
                    (0..random.below(3000)).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
                Made::File { mode: [0o600, 0o644, 0o755, 0o444, 0o640, 0o777][random.below(6)], content }
            }
        };
        tree.insert(path, (made, random.next() % 6));
    }
    tree
}

/// Makes it below `root`, in another order for another `seed`, with times that are `apart` seconds apart from `from` on.
fn make(root: &Path, tree: &BTreeMap<PathBuf, (Made, u64)>, seed: u64, from: i64, apart: i64) {
    let mut random = Random(seed);
    fs::create_dir(root).unwrap();
    let mut waiting: Vec<&PathBuf> = tree.keys().collect();
    while !waiting.is_empty() {
        let path = waiting.remove(random.below(waiting.len()));
        let place = root.join(path);
        let ready = match &tree[path].0 {
            Made::HardLink { of } => root.join(of).exists() && place.parent().unwrap().exists(),
            _ => place.parent().unwrap().exists(),
        };
        if !ready {
            waiting.push(path);
            continue;
        }
        match &tree[path].0 {
            Made::Folder { .. } => fs::create_dir(&place).unwrap(),
            Made::File { content, .. } => fs::write(&place, content).unwrap(),
            Made::Link { target } => symlink(target, &place).unwrap(),
            Made::HardLink { of } => fs::hard_link(root.join(of), &place).unwrap(),
        }
    }
    for (path, (made, time)) in tree.iter().rev() {
        let place = root.join(path);
        if let Made::Folder { mode } | Made::File { mode, .. } = made {
            fs::set_permissions(&place, Permissions::from_mode(*mode)).unwrap();
        }
        let seconds = from + i64::try_from(*time).unwrap() * apart;
        let time = Timespec { tv_sec: seconds, tv_nsec: seconds % 1000 };
        if !matches!(made, Made::HardLink { .. }) {
            let times = Timestamps { last_access: time, last_modification: time };
            utimensat(CWD, &place, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
    }
}

/// All that a program could tell two such folders by, with times by their rank.
fn listing(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path.strip_prefix(root).unwrap().to_path_buf(), (path, meta));
        }
    }
    let times: BTreeSet<_> = found.values().map(|(_, meta)| (meta.mtime(), meta.mtime_nsec())).collect();
    let rank = |meta: &fs::Metadata| times.iter().position(|t| *t == (meta.mtime(), meta.mtime_nsec()));
    let first =
        |meta: &fs::Metadata| found.values().find(|(_, m)| m.ino() == meta.ino()).map(|(p, _)| p.clone());
    let text = |(path, meta): &(PathBuf, fs::Metadata)| {
        let content = match () {
            () if meta.is_symlink() => fs::read_link(path).unwrap().display().to_string(),
            () if meta.is_file() => Digest::of(&fs::read(path).unwrap()).to_string(),
            () => String::new(),
        };
        let same = first(meta).map(|p| p.strip_prefix(root).unwrap().to_path_buf());
        format!("{:o} {:?} {content} {same:?}", meta.mode(), rank(meta))
    };
    found.iter().map(|(path, both)| (path.clone(), text(both))).collect()
}

fn pack_at(root: &Path, file: &Path) -> Packed {
    pack(root, file, &SlugLimits::default()).unwrap()
}

use deis_core::Digest;

#[test]
fn what_is_packed_comes_back_and_the_same_folder_gives_the_same_bytes() {
    for seed in 0..60 {
        let tree = random_tree(&mut Random(seed));
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        make(&path("one"), &tree, 1, 1_500_000_000, 1);
        make(&path("two"), &tree, 2, 1_700_000_000, 86_400);
        let (one, two) = (pack_at(&path("one"), &path("one.slug")), pack_at(&path("two"), &path("two.slug")));
        assert_eq!(one.digest, two.digest, "seed {seed}");
        assert_eq!(fs::read(path("one.slug")).unwrap(), fs::read(path("two.slug")).unwrap());
        fs::create_dir(path("out")).unwrap();
        unpack(&path("one.slug"), &path("out"), &SlugLimits::default()).unwrap();
        assert_eq!(listing(&path("out")), listing(&path("one")), "seed {seed}");
        let oldest = listing_times(&path("out")).first().copied();
        assert_eq!(oldest, (!tree.is_empty()).then_some(i64::try_from(EPOCH).unwrap() + 1));
        // And again, from what came back.
        assert_eq!(pack_at(&path("out"), &path("again.slug")).digest, one.digest, "seed {seed}");
    }
}

fn listing_times(root: &Path) -> BTreeSet<i64> {
    let mut times = BTreeSet::new();
    for entry in fs::read_dir(root).unwrap().flatten() {
        let meta = entry.metadata().unwrap();
        times.insert(meta.mtime());
        if meta.is_dir() {
            times.extend(listing_times(&entry.path()));
        }
    }
    times
}

#[test]
fn rights_of_others_and_what_no_archive_holds_stay_out() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("app");
    fs::create_dir(&root).unwrap();
    for (name, mode) in [("setuid", 0o4755), ("closed", 0o000), ("sticky", 0o1644)] {
        fs::write(root.join(name), "x").unwrap();
        fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    if rustix::process::geteuid().is_root() {
        let packed = pack_at(&root, &folder.path().join("slug"));
        assert_eq!(
            packed.notices,
            [
                "socket is left out: it is no file, folder or link",
                "setuid and 1 more: a slug keeps no set-user-id, set-group-id or sticky bits",
                "closed: its owner could not read it, and can in the slug",
            ]
        );
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        unpack(&folder.path().join("slug"), &out, &SlugLimits::default()).unwrap();
        for (name, mode) in [("setuid", 0o755), ("closed", 0o400), ("sticky", 0o644)] {
            assert_eq!(fs::metadata(out.join(name)).unwrap().mode() & 0o7777, mode, "{name}");
        }
    }
}

/// The paths that a folder with these ignore files, and these other files, has in its slug.
fn kept(ignore: &[(&str, &str)], files: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("app");
    for (name, text) in ignore.iter().copied().chain(files.iter().map(|f| (*f, "x"))) {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), text).unwrap();
    }
    pack_at(&root, &folder.path().join("slug"));
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    unpack(&folder.path().join("slug"), &out, &SlugLimits::default()).unwrap();
    let files = listing(&out).into_keys().filter(|path| out.join(path).is_file());
    let names = files.map(|path| path.to_str().unwrap().to_owned());
    names.filter(|name| !name.ends_with(".slugignore")).collect()
}

#[test]
fn slugignore_has_the_rules_of_gitignore() {
    let root = |text: &'static str| [(".slugignore", text)];
    for (text, files, expected) in [
        ("/vendor", &["vendor/a", "src/vendor/b"][..], &["src/vendor/b"][..]),
        ("vendor", &["vendor/a", "src/vendor/b", "c"], &["c"]),
        ("*.tmp\n!keep.tmp\n", &["a.tmp", "d/b.tmp", "d/keep.tmp"], &["d/keep.tmp"]),
        ("build/\n", &["build/x", "src/build"], &["src/build"]),
        ("docs/*\n!docs/api/\n", &["docs/a", "docs/api/b"], &["docs/api/b"]),
        ("docs/\n!docs/api/\n", &["docs/a", "docs/api/b"], &[]),
        ("a/**/z", &["a/z", "a/b/c/z", "z"], &["z"]),
        ("**/logs/*.log", &["logs/x.log", "d/logs/y.log", "logs/z.txt"], &["logs/z.txt"]),
        ("# a comment\n\\#real\n\\!bang\n", &["# a comment", "#real", "!bang"], &["# a comment"]),
        ("trailing   \nspaced\\ \n", &["trailing", "spaced "], &[]),
        ("doc/frotz\n", &["doc/frotz", "a/doc/frotz"], &["a/doc/frotz"]),
        ("[ab].txt\r\n?.md\r\n", &["a.txt", "b.txt", "c.txt", "x.md", "xy.md"], &["c.txt", "xy.md"]),
        ("\u{feff}first\n", &["first", "second"], &["second"]),
        ("[\nother\n", &["[", "other"], &["["]),
        ("", &["a"], &["a"]),
    ] {
        assert_eq!(kept(&root(text), files), expected, "{text:?}");
    }
    // A file further down says more of what is beside it, and the nearer one decides.
    let both = [(".slugignore", "*.o\n"), ("lib/.slugignore", "!keep.o\n/top\n")];
    let files = ["a.o", "lib/keep.o", "lib/b.o", "lib/top", "lib/d/top", "top"];
    assert_eq!(kept(&both, &files), ["lib/d/top", "lib/keep.o", "top"]);
}

#[test]
fn a_pattern_that_means_nothing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("app");
    fs::create_dir(&root).unwrap();
    fs::write(root.join(".slugignore"), "fine\n[\n").unwrap();
    let packed = pack_at(&root, &folder.path().join("slug"));
    assert!(packed.notices[0].starts_with(".slugignore, line 2: "), "{:?}", packed.notices);
}

#[test]
fn each_limit_ends_the_packing_and_the_unpacking() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("app")).unwrap();
    let mut random = Random(1);
    for i in 0..5 {
        let content: Vec<u8> = (0..200_000).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        fs::write(path("app").join(format!("file{i}")), content).unwrap();
    }
    let all = SlugLimits::default();
    pack(&path("app"), &path("good"), &all).unwrap();
    for (i, (limits, words)) in [
        (SlugLimits { entries: 4, ..all }, "more than 4"),
        (SlugLimits { unpacked_bytes: 1 << 19, ..all }, "larger than 0 MiB"),
        (SlugLimits { packed_bytes: 1 << 19, ..all }, "the slug is larger than 0 MiB"),
    ]
    .into_iter()
    .enumerate()
    {
        let error = pack(&path("app"), &path(&format!("bad{i}")), &limits).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    for (i, limits) in
        [SlugLimits { entries: 4, ..all }, SlugLimits { unpacked_bytes: 1 << 19, ..all }].iter().enumerate()
    {
        let out = path(&format!("out{i}"));
        fs::create_dir(&out).unwrap();
        let error = unpack(&path("good"), &out, limits).unwrap_err();
        assert!(error.to_string().contains("not safe to unpack"), "{error}");
    }
}

/// An archive of these headers, contents and bytes after it, and what unpacking it says.
fn unpack_error(entries: &[(tar::EntryType, &str, &str, &[u8])], after: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad");
    let mut out = zstd::Encoder::new(Vec::new(), 1).unwrap();
    {
        let mut archive = tar::Builder::new(&mut out);
        for (kind, path, target, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            // Written as they are: the library's own functions refuse some of these.
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
            header.set_cksum();
            archive.append(&header, *content).unwrap();
        }
        archive.finish().unwrap();
    }
    fs::write(&file, [out.finish().unwrap().as_slice(), after].concat()).unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(folder.path().join("outside"), "old").unwrap();
    let said = unpack(&file, &root, &SlugLimits::default()).err().map(|e| e.to_string()).unwrap_or_default();
    assert_eq!(fs::read_to_string(folder.path().join("outside")).unwrap(), "old");
    assert!(!folder.path().join("escaped").exists());
    said
}

#[test]
fn archives_that_nobody_packs_are_refused_whole() {
    use tar::EntryType as T;
    assert_eq!(unpack_error(&[(T::Regular, "fine", "", b"x")], b""), "");
    for (entries, words) in [
        (&[(T::Regular, "../escaped", "", &b"x"[..])][..], "leads out of it"),
        (&[(T::Regular, "/tmp/deis-escaped", "", b"x")], "leads out of it"),
        (&[(T::Regular, "a/../../escaped", "", b"x")], "leads out of it"),
        (&[(T::Symlink, "out", "..", b""), (T::Regular, "out/escaped", "", b"x")], ""),
        (&[(T::Symlink, "out", "..", b""), (T::Directory, "out/escaped", "", b"")], "leads out of it"),
        (&[(T::Symlink, "d", "..", b""), (T::Directory, "d", "", b"")], "stands in it twice"),
        (&[(T::Symlink, "f", "../outside", b""), (T::Regular, "f", "", b"new")], "stands in it twice"),
        (&[(T::Regular, "f", "", b"1"), (T::Regular, "f", "", b"2")], "stands in it twice"),
        (&[(T::Link, "f", "../outside", b"")], "leads out of it"),
        (&[(T::Link, "f", "/etc/passwd", b"")], "leads out of it"),
        (&[(T::Symlink, "s", "..", b""), (T::Link, "f", "s/outside", b"")], ""),
        (&[(T::Fifo, "f", "", b"")], "neither file, folder nor link"),
        (&[(T::Char, "f", "", b"")], "neither file, folder nor link"),
        (&[(T::Block, "f", "", b"")], "neither file, folder nor link"),
        (&[(T::XHeader, "p", "", b"11 size=99\n"), (T::Regular, "f", "", b"x")], "extended header"),
        (&[(T::XGlobalHeader, "p", "", b"11 size=99\n")], "extended header"),
        (&[(T::Directory, "d", "", b"content")], "contents that it cannot have"),
    ] {
        let said = unpack_error(entries, b"");
        assert!(!said.is_empty() && said.contains(words), "{entries:?}: {said}");
    }
    let fine = [(T::Regular, "fine", "", &b"x"[..])];
    assert!(unpack_error(&fine, b"junk").contains("something follows its end"));
    let second = zstd::encode_all(&b"another"[..], 1).unwrap();
    assert!(unpack_error(&fine, &second).contains("something follows its end"));
}

#[test]
fn a_torn_archive_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("app")).unwrap();
    fs::write(path("app/file"), vec![7; 100_000]).unwrap();
    pack_at(&path("app"), &path("slug"));
    let whole = fs::read(path("slug")).unwrap();
    for length in [0, 3, whole.len() / 2, whole.len() - 1] {
        File::create(path("torn")).unwrap();
        fs::write(path("torn"), &whole[..length]).unwrap();
        let out = path(&format!("out{length}"));
        fs::create_dir(&out).unwrap();
        assert!(unpack(&path("torn"), &out, &SlugLimits::default()).is_err(), "{length}");
    }
}
