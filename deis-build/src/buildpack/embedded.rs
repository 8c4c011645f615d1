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

/// Writes them below the new folder `place`, in the classic layout, and returns their folders in order.
pub(super) fn install(place: &Path) -> io::Result<Vec<PathBuf>> {
    for pack in &PACKS {
        let bin = place.join(pack.name).join("bin");
        fs::create_dir_all(&bin)?;
        for (name, text) in [("detect", pack.detect), ("compile", pack.compile), ("release", pack.release)] {
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(bin.join(name))?;
            file.write_all(text.as_bytes())?;
        }
    }
    Ok(PACKS.iter().map(|pack| place.join(pack.name)).collect())
}

/// What the embedded buildpacks are: part of every build key.
pub(crate) fn digest() -> Digest {
    let all: Vec<&str> = PACKS.iter().flat_map(|p| [p.name, p.detect, p.compile, p.release]).collect();
    Digest::of(all.join("\0").as_bytes())
}
