//! The one-time token that the first registration needs where strangers can reach the daemon.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use deis_core::{Digest, Timestamp};

/// How long it is good, in milliseconds.
const LIFE: i64 = 3_600_000;

/// A one-time token.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    hash: Digest,
    expires: Timestamp,
}

impl Bootstrap {
    /// Makes a token, writes it to a file that only the owner can read, and returns its text to be shown once.
    pub fn create(path: &Path, now: Timestamp) -> std::io::Result<(Self, String)> {
        let bytes: [u8; 20] = rand::random();
        let text = Digest::of(&bytes).hex()[..40].to_owned();
        let _ = fs::remove_file(path);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{text}")?;
        Ok((Self { hash: Digest::of(text.as_bytes()), expires: Timestamp(now.0 + LIFE) }, text))
    }

    /// Whether `text` is the token and still good. Hashes are compared, so the time taken tells nothing.
    pub fn accepts(&self, text: &str, now: Timestamp) -> bool {
        now < self.expires && Digest::of(text.trim().as_bytes()) == self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_good_for_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let (bootstrap, text) = Bootstrap::create(&folder.path().join("t"), Timestamp(0)).unwrap();
        assert!(bootstrap.accepts(&text, Timestamp(LIFE - 1)));
        assert!(!bootstrap.accepts(&text, Timestamp(LIFE)));
        assert!(!bootstrap.accepts("guess", Timestamp(0)));
    }
}
