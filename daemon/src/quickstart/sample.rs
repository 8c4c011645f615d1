//! The sample apps, carried in the executable so that it works without a checkout.

use std::{fs, io, path::Path};

/// A sample app.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Its name.
    pub(super) name: &'static str,
    files: &'static [(&'static str, &'static str)],
}

macro_rules! sample {
    ($name:literal: $($file:literal),*) => {
        Sample {
            name: $name,
            files: &[$(($file, include_str!(concat!("apps/", $name, "/", $file)))),*],
        }
    };
}

/// Python, on its standard library.
pub(super) const PYTHON: Sample = sample!("python": "app.py", "worker.py", "Procfile", "requirements.txt");

/// A folder of files: needs no toolchain.
pub(super) const STATIC: Sample = sample!("static": "index.html", "style.css");

impl Sample {
    /// Writes it below `folder`.
    pub(super) fn write(self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        self.files.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
    }
}
