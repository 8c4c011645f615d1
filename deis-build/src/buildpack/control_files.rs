//! Files of a build that say what is done with it, read and written for what they are: never through a link.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Largest control file.
const MOST: u64 = 1 << 20;

/// The text of a file in the root of a build; `None` if there is none. A link or anything else is an error, for its
/// contents may be those of any file of the host.
pub(crate) fn read(root: &Path, name: &str) -> io::Result<Option<String>> {
    let path = root.join(name);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(meta) if !meta.is_file() => {
            return Err(io::Error::other(format!("{name} must be a file, not a link")));
        }
        Ok(meta) if meta.len() > MOST => {
            return Err(io::Error::other(format!("{name} is larger than {MOST} bytes")));
        }
        Ok(_) => {}
    }
    let file = fs::OpenOptions::new().read(true).custom_flags(no_follow()).open(path)?;
    let mut text = String::new();
    file.take(MOST)
        .read_to_string(&mut text)
        .map_err(|e| io::Error::new(e.kind(), format!("{name}: {e}")))?;
    Ok(Some(text))
}

/// Writes a file below the root of a build. A link in its place, or in that of its folder, is an error.
pub(super) fn write(root: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = root.join(name);
    let folder = path.parent().unwrap_or(root);
    if fs::symlink_metadata(folder).is_ok_and(|meta| !meta.is_dir()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Err(io::Error::other(format!("{name} must be a folder, not a link")));
    }
    fs::create_dir_all(folder)?;
    if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink()) {
        return Err(io::Error::other(format!("{name} must be a file, not a link")));
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(no_follow())
        .open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

fn no_follow() -> i32 {
    rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()
}
