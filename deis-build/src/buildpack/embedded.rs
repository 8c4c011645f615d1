//! The buildpacks inside this program: small ones that use the host's toolchains.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use deis_core::Digest;

/// The scripts of one buildpack.
struct Pack {
    name: &'static str,
    detect: &'static str,
    compile: &'static str,
    release: &'static str,
}

macro_rules! pack {
    ($name:literal) => {
        Pack {
            name: $name,
            detect: include_str!(concat!("embedded/", $name, "/detect")),
            compile: include_str!(concat!("embedded/", $name, "/compile")),
            release: include_str!(concat!("embedded/", $name, "/release")),
        }
    };
}

/// In the order in which they are tried.
const PACKS: [Pack; 4] = [pack!("python"), pack!("nodejs"), pack!("static"), pack!("procfile")];

/// Writes them below `folder`, in the classic layout, and returns their folders in order.
///
/// The folder's name holds a digest of the scripts, so another version of this program has another one.
pub(crate) fn install(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let place = folder.join(format!("embedded-{}", digest().short()));
    if !place.exists() {
        fs::create_dir_all(folder)?;
        let fresh = tempfile::Builder::new().prefix("embedded-new-").tempdir_in(folder)?;
        for pack in &PACKS {
            let bin = fresh.path().join(pack.name).join("bin");
            fs::create_dir_all(&bin)?;
            for (name, text) in
                [("detect", pack.detect), ("compile", pack.compile), ("release", pack.release)]
            {
                let mut file =
                    fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(bin.join(name))?;
                file.write_all(text.as_bytes())?;
            }
        }
        let fresh = fresh.keep();
        if let Err(error) = fs::rename(&fresh, &place) {
            let _ = fs::remove_dir_all(&fresh);
            // Another start of this program was faster.
            if !place.exists() {
                return Err(error);
            }
        }
    }
    Ok(PACKS.iter().map(|pack| place.join(pack.name)).collect())
}

/// What the embedded buildpacks are: part of every build key.
pub(crate) fn digest() -> Digest {
    let all: Vec<&str> = PACKS.iter().flat_map(|p| [p.name, p.detect, p.compile, p.release]).collect();
    Digest::of(all.join("\0").as_bytes())
}
