//! Slugs: a built app as a deterministic `tar.zst`, packed and unpacked.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
};

use deis_core::Digest;
use sha2::{Digest as _, Sha256};

use crate::buildpack::control;

/// What packing made.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    /// Digest of the compressed bytes.
    pub(crate) digest: Digest,
    /// Their number.
    pub(crate) bytes: u64,
}

/// Speed matters more than the last percent: a person waits.
const LEVEL: i32 = 3;
/// Most bytes that a slug may hold, unpacked.
const MOST_BYTES: u64 = 8 << 30;
/// Most entries that a slug may hold.
const MOST_ENTRIES: usize = 1_000_000;

/// Packs `root` into `file`: sorted, without times, owners and host names, so that the same files give the same bytes.
/// `.git` and what `.slugignore` names stay out.
pub(crate) fn pack(root: &Path, file: &Path) -> io::Result<Packed> {
    let ignored = read_ignore(root)?;
    let hashed = Hashed { inner: BufWriter::new(File::create(file)?), hasher: Sha256::new(), bytes: 0 };
    let mut archive = tar::Builder::new(zstd::Encoder::new(hashed, LEVEL)?);
    append(&mut archive, root, Path::new(""), &ignored)?;
    let mut hashed = archive.into_inner()?.finish()?;
    hashed.flush()?;
    let bytes = hashed.bytes;
    let digest = Digest::from_hash(&hashed.hasher.finalize());
    hashed.inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(Packed { digest, bytes })
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    root: &Path,
    below: &Path,
    ignored: &[String],
) -> io::Result<()> {
    let mut names: Vec<_> =
        fs::read_dir(root.join(below))?.map(|e| Ok(e?.file_name())).collect::<io::Result<_>>()?;
    names.sort();
    for name in names {
        let path = below.join(&name);
        if name == ".git" && below.as_os_str().is_empty() || is_ignored(&path, ignored) {
            continue;
        }
        let place = root.join(&path);
        let meta = fs::symlink_metadata(&place)?;
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        let executable = meta.permissions().mode() & 0o111 != 0;
        header.set_mode(if meta.is_dir() || executable { 0o755 } else { 0o644 });
        header.set_size(0);
        if meta.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            archive.append_data(&mut header, &path, io::empty())?;
            append(archive, root, &path, ignored)?;
        } else if meta.is_symlink() {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            archive.append_link(&mut header, &path, fs::read_link(&place)?)?;
        } else if meta.is_file() {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(meta.len());
            archive.append_data(&mut header, &path, File::open(&place)?)?;
        }
        // Sockets, pipes and devices are no part of an app.
    }
    Ok(())
}

fn read_ignore(root: &Path) -> io::Result<Vec<String>> {
    let text = control::read(root, ".slugignore")?.unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(['#', '!']));
    Ok(lines.map(|l| l.trim_matches('/').to_owned()).collect())
}

/// Patterns with `*` match within one name; a pattern without a slash matches at any depth.
fn is_ignored(path: &Path, patterns: &[String]) -> bool {
    let text = path.to_string_lossy();
    let name = path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
    patterns
        .iter()
        .any(|pattern| if pattern.contains('/') { glob(pattern, &text) } else { glob(pattern, &name) })
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            let within = rest.find('/').unwrap_or(rest.len());
            (0..=within).filter(|i| rest.is_char_boundary(*i)).any(|i| glob(tail, &rest[i..]))
        }),
    }
}

/// A slug that must not be unpacked.
#[derive(Debug, thiserror::Error)]
#[error("the slug is not safe to unpack: {0}")]
pub(crate) struct Unsafe(String);

/// Unpacks `file` into the empty folder `root`. Nothing is written outside it, nor through a link.
pub(crate) fn unpack(file: &Path, root: &Path) -> io::Result<()> {
    let refuse = |reason: String| io::Error::new(io::ErrorKind::InvalidData, Unsafe(reason));
    let decoder = zstd::Decoder::new(BufReader::new(File::open(file)?))?;
    let mut archive = tar::Archive::new(decoder.take(MOST_BYTES));
    archive.set_preserve_mtime(false);
    archive.set_preserve_ownerships(false);
    for (count, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        let path: PathBuf = entry.path()?.into_owned();
        if count >= MOST_ENTRIES {
            return Err(refuse(format!("it has more than {MOST_ENTRIES} entries")));
        }
        if !path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
            return Err(refuse(format!("{} leads out of it", path.display())));
        }
        let kind = entry.header().entry_type();
        if !(kind.is_dir() || kind.is_file() || kind.is_symlink()) {
            return Err(refuse(format!("{} is neither file, folder nor link", path.display())));
        }
        // Refuses to follow a link that an earlier entry made.
        if !entry.unpack_in(root)? {
            return Err(refuse(format!("{} leads out of it", path.display())));
        }
    }
    Ok(())
}

struct Hashed<W> {
    inner: W,
    hasher: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(data)?;
        self.hasher.update(&data[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(root: &Path) {
        fs::create_dir_all(root.join("src")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::write(root.join("src/app.py"), "print()").unwrap();
        fs::write(root.join("notes.tmp"), "x").unwrap();
        fs::write(root.join(".git/config"), "x").unwrap();
        fs::write(root.join(".slugignore"), "*.tmp\n").unwrap();
        std::os::unix::fs::symlink("src/app.py", root.join("link")).unwrap();
        fs::set_permissions(root.join("src/app.py"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_same_files_give_the_same_bytes_and_come_back() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        tree(&a.path().join("t"));
        tree(&b.path().join("t"));
        let first = pack(&a.path().join("t"), &a.path().join("slug")).unwrap();
        let second = pack(&b.path().join("t"), &b.path().join("slug")).unwrap();
        assert_eq!(first.digest, second.digest);
        let out = tempfile::tempdir().unwrap();
        unpack(&a.path().join("slug"), out.path()).unwrap();
        assert_eq!(fs::read_to_string(out.path().join("link")).unwrap(), "print()");
        let mode = fs::metadata(out.path().join("src/app.py")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert!(!out.path().join(".git").exists() && !out.path().join("notes.tmp").exists());
    }

    #[test]
    fn an_archive_that_leads_out_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bad");
        let mut archive = tar::Builder::new(zstd::Encoder::new(File::create(&file).unwrap(), 1).unwrap());
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        archive.append_link(&mut link, "out", "/tmp").unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        archive.append_data(&mut header, "out/escaped-from-slug", &b"x"[..]).unwrap();
        archive.into_inner().unwrap().finish().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        assert!(unpack(&file, &root).is_err());
        assert!(!Path::new("/tmp/escaped-from-slug").exists());
    }

    #[test]
    fn patterns() {
        assert!(glob("*.tmp", "a.tmp") && glob("docs/*", "docs/x") && !glob("docs/*", "docs/x/y"));
    }
}
