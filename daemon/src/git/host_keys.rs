//! The keys by which clients know this server; kept, or every client would be warned at each start.

use std::{fs, io, path::Path};

use russh::keys::{Algorithm, EcdsaCurve, PrivateKey, ssh_key::LineEnding};

use crate::datadir::write_privately;

/// Reads the host keys below `folder`, or makes them at the first start.
pub(super) fn load_or_create(folder: &Path) -> io::Result<Vec<PrivateKey>> {
    fs::create_dir_all(folder)?;
    [
        ("ssh_host_ed25519_key", Algorithm::Ed25519),
        ("ssh_host_ecdsa_key", Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }),
    ]
    .into_iter()
    .map(|(name, algorithm)| load(&folder.join(name), algorithm))
    .collect()
}

fn load(path: &Path, algorithm: Algorithm) -> io::Result<PrivateKey> {
    match fs::read_to_string(path) {
        Ok(text) => PrivateKey::from_openssh(text).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = PrivateKey::random(&mut rand::rng(), algorithm).map_err(io::Error::other)?;
            let text = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
            write_privately(path, text.as_bytes())?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}
