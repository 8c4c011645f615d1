//! Names and links in trees: what may be written to a disk, whoever made the tree.

use gix::{
    bstr::{BStr, ByteSlice as _},
    objs::tree::EntryMode,
    validate::path::component,
};

/// Checks the name of an entry of a tree, and that its mode is one of git's.
///
/// Names that only Windows dislikes are fine: nothing here writes to a Windows disk. Names that some file system takes
/// for `.git` are not, for people clone from here.
pub(super) fn check(name: &BStr, mode: EntryMode) -> Result<(), &'static str> {
    let kind = mode.value() & 0o170_000;
    if !matches!(kind, 0o040_000 | 0o100_000 | 0o120_000 | 0o160_000) {
        return Err("its mode is unknown");
    }
    let control = |b: &u8| *b < 0x20 || *b == 0x7f;
    if name.iter().any(control) || name.contains(&b'\\') {
        return Err("forbidden name");
    }
    let options = component::Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };
    let link = mode.is_link().then_some(component::Mode::Symlink);
    component(name, link, options).map(drop).map_err(|_| "forbidden name")
}

/// Whether a link `depth` folders below the root stays in the tree, whatever other links it passes on its way.
///
/// Steps upwards are counted from the link's own folder, which is a real one; after a step downwards, which may be a
/// link itself, another step upwards could lead anywhere.
pub(super) fn stays_inside(target: &BStr, depth: usize) -> bool {
    if target.is_empty() || target.starts_with(b"/") {
        return false;
    }
    let mut up = 0;
    let mut down = false;
    for part in target.split_str("/") {
        match part {
            b"" | b"." => {}
            b".." if down => return false,
            b".." => up += 1,
            _ => down = true,
        }
    }
    up <= depth
}

/// Most characters of a name that a message repeats.
const MAX_SHOWN: usize = 120;

/// A name as it can be shown: readable where it is text, no longer than a line, and nothing that a terminal acts on.
pub(super) fn shown(path: &[u8]) -> String {
    let text = path.to_str_lossy();
    let mut rest = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let mut shown: String = rest.by_ref().take(MAX_SHOWN).collect();
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_for_git_and_for_terminals_only() {
        let blob = EntryMode::try_from(0o100_644_u32).unwrap();
        for good in ["a:b", "what?.md", "aux.js", "CON", "ends.", "ends ", "..git", "*", "…", "~"] {
            assert_eq!(check(good.into(), blob), Ok(()), "{good}");
        }
        assert_eq!(check(b"\xff\xfe".as_bstr(), blob), Ok(()));
        for bad in
            [".git", ".GIT", "git~1", ".g\u{200c}it", "..", ".", "", "a/b", "..\\x", "a\nb", "\u{1b}]0;x"]
        {
            assert_eq!(check(bad.into(), blob), Err("forbidden name"), "{bad:?}");
        }
        let odd = EntryMode::try_from(0o170_000_u32).unwrap();
        assert_eq!(check("a".into(), odd), Err("its mode is unknown"));
    }

    #[test]
    fn links_are_followed_by_their_text_alone() {
        for (target, depth) in [("a", 0), ("a/b", 0), ("../a", 1), ("./../..", 2), ("a//b/", 0)] {
            assert!(stays_inside(target.into(), depth), "{target} at {depth}");
        }
        for (target, depth) in [("/etc/passwd", 3), ("../a", 0), ("../../a", 1), ("a/../b", 5), ("", 1)] {
            assert!(!stays_inside(target.into(), depth), "{target} at {depth}");
        }
    }
}
