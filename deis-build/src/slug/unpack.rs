//! Unpacking a slug.

use std::{
    fs::{self, File, Permissions},
    io::{self, BufRead as _, BufReader, Read},
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::{SlugLimits, refused};

/// Largest window that a decoder makes: 2^27 bytes.
const WINDOW_LOG: u32 = 27;

/// Unpacks `file` into the empty folder `root`. Nothing is written outside it, nor through a link, and whatever
/// [`pack`](super::pack) would not have written fails the whole archive.
///
/// # Errors
/// `InvalidData` for an archive that must not be unpacked; else what the file system says.
pub(crate) fn unpack(file: &Path, root: &Path, limits: &SlugLimits) -> io::Result<()> {
    let mut decoder = zstd::Decoder::new(File::open(file)?)?.single_frame();
    decoder.window_log_max(WINDOW_LOG)?;
    // Headers are bytes of the archive too: half a KiB, and its padding, for each entry.
    let most = limits.unpacked_bytes.saturating_add(limits.entries as u64 * 2048);
    let mut archive = tar::Archive::new(Bounded { inner: decoder, left: most });
    archive.set_preserve_mtime(true);
    archive.set_preserve_ownerships(false);
    archive.set_overwrite(false);
    let mut folders = Vec::new();
    let mut bytes: u64 = 0;
    for (count, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        if count >= limits.entries {
            return Err(unsafe_slug(&format!("it has more than {} entries", limits.entries)));
        }
        bytes = bytes.saturating_add(entry.size());
        if bytes > limits.unpacked_bytes {
            return Err(unsafe_slug(&format!(
                "its files are larger than {} MiB",
                limits.unpacked_bytes >> 20
            )));
        }
        let path: PathBuf = entry.path()?.into_owned();
        check(&mut entry, &path)?;
        let header = entry.header();
        if header.entry_type().is_dir() {
            folders.push((path.clone(), header.mode()? & 0o777, header.mtime()?));
            // Its own mode comes last: it may forbid to write what is in it.
            let made = make_folder(root, &path);
            made.map_err(|e| if is_ambiguous(&e) { twice(&path) } else { e })?;
            continue;
        }
        // Refuses to follow a link that an earlier entry made.
        match entry.unpack_in(root) {
            Ok(true) => {}
            Ok(false) => return Err(unsafe_slug(&format!("{} leads out of it", path.display()))),
            Err(error) if is_ambiguous(&error) => return Err(twice(&path)),
            Err(error) => return Err(error),
        }
    }
    finish(archive.into_inner(), most)?;
    for (path, mode, mtime) in folders.iter().rev() {
        let path = root.join(path);
        fs::set_permissions(&path, Permissions::from_mode(*mode))?;
        set_time(&path, *mtime)?;
    }
    Ok(())
}

/// Whether an entry is one that packing makes.
fn check(entry: &mut tar::Entry<'_, impl Read>, path: &Path) -> io::Result<()> {
    let shown = path.display();
    if path.as_os_str().is_empty() || !path.components().all(|c| matches!(c, Component::Normal(_))) {
        return Err(unsafe_slug(&format!("{shown} leads out of it")));
    }
    // They could say another size than the header does.
    if entry.pax_extensions()?.is_some() {
        return Err(unsafe_slug(&format!("{shown} has an extended header")));
    }
    let kind = entry.header().entry_type();
    if !(kind.is_dir() || kind.is_file() || kind.is_symlink() || kind.is_hard_link()) {
        return Err(unsafe_slug(&format!("{shown} is neither file, folder nor link")));
    }
    if !kind.is_file() && entry.size() > 0 {
        return Err(unsafe_slug(&format!("{shown} has contents that it cannot have")));
    }
    let target = if kind.is_hard_link() { entry.link_name()? } else { None };
    if target.is_some_and(|t| !t.components().all(|c| matches!(c, Component::Normal(_)))) {
        return Err(unsafe_slug(&format!("{shown} is a link that leads out of it")));
    }
    Ok(())
}

/// Makes a folder below `root`, whose parents are there and are folders.
fn make_folder(root: &Path, path: &Path) -> io::Result<()> {
    let mut parent = root.to_path_buf();
    for part in path.parent().into_iter().flat_map(Path::components) {
        parent.push(part);
        if !fs::symlink_metadata(&parent)?.is_dir() {
            return Err(unsafe_slug(&format!("{} leads out of it", path.display())));
        }
    }
    fs::create_dir(root.join(path))
}

/// The archive must end where its last entry ends: what follows could be meant for somebody who reads it otherwise.
fn finish(mut rest: Bounded<zstd::Decoder<'static, BufReader<File>>>, most: u64) -> io::Result<()> {
    // As an archive that was cut off before its first byte would be, which no decoder minds.
    if rest.left == most {
        return Err(unsafe_slug("it is empty"));
    }
    let mut buffer = [0; 8192];
    loop {
        match rest.read(&mut buffer)? {
            0 => break,
            count if buffer[..count].iter().any(|byte| *byte != 0) => {
                return Err(unsafe_slug("something follows its end"));
            }
            _ => {}
        }
    }
    if rest.inner.finish().fill_buf()?.is_empty() {
        Ok(())
    } else {
        Err(unsafe_slug("something follows its end"))
    }
}

/// Sets the time of last change, of a link itself and not of what it leads to.
fn set_time(path: &Path, seconds: u64) -> io::Result<()> {
    let time = Timespec { tv_sec: i64::try_from(seconds).unwrap_or_default(), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn is_ambiguous(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}

fn twice(path: &Path) -> io::Error {
    unsafe_slug(&format!("{} stands in it twice", path.display()))
}

fn unsafe_slug(reason: &str) -> io::Error {
    refused(format!("the slug is not safe to unpack: {reason}"))
}

/// A reader with an end that is an error.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = (self.left.checked_sub(count as u64)).ok_or_else(|| unsafe_slug("it is too large"))?;
        Ok(count)
    }
}
