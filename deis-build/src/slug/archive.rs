//! Packing a folder.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsStr,
    fs::{self, File, Metadata},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use deis_core::Digest;
use sha2::{Digest as _, Sha256};

use super::{EPOCH, SlugLimits, ignored::Ignored, refused};

/// What packing made.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    /// Digest of the compressed bytes.
    pub(crate) digest: Digest,
    /// Their number.
    pub(crate) bytes: u64,
    /// What somebody should be told: patterns without a meaning, entries that no slug can hold.
    pub(crate) notices: Vec<String>,
}

/// Speed matters more than the last percent: a person waits.
const LEVEL: i32 = 3;
/// Most notices of one slug.
const MAX_NOTICES: usize = 20;

/// Packs `root` into the new file `file`. `.git` and what `.slugignore` files name stay out, and so do sockets, pipes
/// and devices, which are no part of an app.
///
/// # Errors
/// What cannot be read, with its path, and which of the limits is reached.
pub(crate) fn pack(root: &Path, file: &Path, limits: &SlugLimits) -> io::Result<Packed> {
    let mut list = Listing {
        root,
        limits,
        ignored: Ignored::default(),
        entries: Vec::new(),
        bytes: 0,
        notices: Vec::new(),
    };
    list.folder(Path::new(""))?;
    let Listing { entries, mut notices, ignored, .. } = list;
    notices.extend(ignored.mistakes);
    notices.extend(changed_modes(&entries));
    notices.truncate(MAX_NOTICES);
    let out = BufWriter::new(File::create_new(file)?);
    let out = Hashed { inner: out, hasher: Sha256::new(), bytes: 0, limit: limits.packed_bytes };
    let mut archive = tar::Builder::new(zstd::Encoder::new(out, LEVEL)?);
    append_all(&mut archive, root, &entries)?;
    let mut out = archive.into_inner()?.finish()?;
    out.flush()?;
    let (bytes, digest) = (out.bytes, Digest::from_hash(&out.hasher.finalize()));
    out.inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(Packed { digest, bytes, notices })
}

/// An entry that will be packed.
struct Entry {
    path: PathBuf,
    meta: Metadata,
}

/// The entries of a folder in the order of their names, which is no order of inodes.
struct Listing<'a> {
    root: &'a Path,
    limits: &'a SlugLimits,
    ignored: Ignored,
    entries: Vec<Entry>,
    bytes: u64,
    notices: Vec<String>,
}

impl Listing<'_> {
    fn folder(&mut self, below: &Path) -> io::Result<()> {
        let folder = self.root.join(below);
        self.ignored.enter(&folder, below)?;
        let names = fs::read_dir(&folder).and_then(|found| found.map(|e| Ok(e?.file_name())).collect());
        let mut names: Vec<_> = names.map_err(|e| at(below, &e))?;
        names.sort();
        for name in names {
            self.entry(below, &name)?;
        }
        self.ignored.leave();
        Ok(())
    }

    fn entry(&mut self, below: &Path, name: &OsStr) -> io::Result<()> {
        let path = below.join(name);
        let meta = fs::symlink_metadata(self.root.join(&path)).map_err(|e| at(&path, &e))?;
        let (is_git, is_dir) = (below.as_os_str().is_empty() && name == ".git", meta.is_dir());
        if is_git || self.ignored.has(&path, is_dir) {
            return Ok(());
        }
        if !(is_dir || meta.is_file() || meta.is_symlink()) {
            self.notices.push(format!("{} is left out: it is no file, folder or link", path.display()));
            return Ok(());
        }
        if self.entries.len() >= self.limits.entries {
            let most = self.limits.entries;
            return Err(refused(format!("the built app has more than {most} files and folders")));
        }
        if meta.is_file() {
            self.bytes = self.bytes.saturating_add(meta.len());
        }
        if self.bytes > self.limits.unpacked_bytes {
            let most = self.limits.unpacked_bytes >> 20;
            return Err(refused(format!("the built app is larger than {most} MiB")));
        }
        self.entries.push(Entry { path: path.clone(), meta });
        if is_dir { self.folder(&path) } else { Ok(()) }
    }
}

fn append_all(archive: &mut tar::Builder<impl Write>, root: &Path, entries: &[Entry]) -> io::Result<()> {
    let times = ranks(entries);
    // Which of the names of one file came first.
    let mut linked: HashMap<(u64, u64), &Path> = HashMap::new();
    for Entry { path, meta } in entries {
        let mut header = tar::Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.set_mtime(EPOCH + times.get(&time(meta)).copied().unwrap_or_default());
        header.set_mode(mode(meta));
        let first = (meta.is_file() && meta.nlink() > 1)
            .then(|| *linked.entry((meta.dev(), meta.ino())).or_insert(path))
            .filter(|first| first != path);
        let appended = if meta.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            archive.append_data(&mut header, path, io::empty())
        } else if meta.is_symlink() {
            header.set_entry_type(tar::EntryType::Symlink);
            fs::read_link(root.join(path)).and_then(|target| archive.append_link(&mut header, path, target))
        } else if let Some(first) = first {
            header.set_entry_type(tar::EntryType::Link);
            archive.append_link(&mut header, path, first)
        } else {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(meta.len());
            let file = File::open(root.join(path)).map(|file| Exactly { left: meta.len(), inner: file });
            file.and_then(|file| archive.append_data(&mut header, path, file))
        };
        appended.map_err(|e| if e.kind() == io::ErrorKind::InvalidData { e } else { at(path, &e) })?;
    }
    Ok(())
}

/// What is said of entries whose modes a slug does not keep as they are: how many, and which is the first.
fn changed_modes(entries: &[Entry]) -> Vec<String> {
    let list = |is_changed: fn(&Metadata) -> bool, what: &str| {
        let mut those = entries.iter().filter(|e| !e.meta.is_symlink() && is_changed(&e.meta));
        let first = those.next()?.path.display().to_string();
        let others = match those.count() {
            0 => String::new(),
            number => format!(" and {number} more"),
        };
        Some(format!("{first}{others}: {what}"))
    };
    let special = |meta: &Metadata| meta.mode() & 0o7000 != 0;
    let closed = |meta: &Metadata| mode(meta) != meta.mode() & 0o777;
    let special = list(special, "a slug keeps no set-user-id, set-group-id or sticky bits");
    let closed = list(closed, "its owner could not read it, and can in the slug");
    special.into_iter().chain(closed).collect()
}

/// The permission bits that a slug keeps. Set-user-id and its like would give an app rights that its owner has not
/// thought of; and what the platform itself cannot read it cannot run.
fn mode(meta: &Metadata) -> u32 {
    let readable = match () {
        () if meta.is_dir() => 0o500,
        () if meta.is_symlink() => 0o777,
        () => 0o400,
    };
    meta.mode() & 0o777 | readable
}

fn time(meta: &Metadata) -> (i64, i64) {
    (meta.mtime(), meta.mtime_nsec())
}

/// The place of each time among all, from 1.
fn ranks(entries: &[Entry]) -> BTreeMap<(i64, i64), u64> {
    let distinct: BTreeSet<_> = entries.iter().map(|entry| time(&entry.meta)).collect();
    distinct.into_iter().zip(1..).collect()
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} cannot be packed: {error}", path.display()))
}

/// As many bytes as the header of an archive says, or an error: fewer would spoil all that follows.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        self.left -= count as u64;
        if count == 0 && most > 0 && self.left > 0 {
            return Err(io::Error::other("it became shorter while it was read"));
        }
        Ok(count)
    }
}

struct Hashed<W> {
    inner: W,
    hasher: Sha256,
    bytes: u64,
    limit: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(data)?;
        self.hasher.update(&data[..count]);
        self.bytes += count as u64;
        if self.bytes > self.limit {
            return Err(refused(format!("the slug is larger than {} MiB", self.limit >> 20)));
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
