//! The one-time token that the first registration needs where strangers can reach the daemon.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use deis_core::{Digest, Timestamp};

/// How long it is good, in milliseconds.
const LIFE: i64 = 3_600_000;

/// A one-time token.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    hash: Digest,
    expires: Timestamp,
    file: PathBuf,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not the one.
    Wrong,
    /// There is none that is still good.
    Expired,
}

impl Bootstrap {
    /// Makes a token, writes it to a file that only the owner can read, and returns its text to be shown once.
    pub fn create(path: &Path, now: Timestamp) -> std::io::Result<(Self, String)> {
        let bytes: [u8; 20] = rand::random();
        let text = Digest::of(&bytes).hex()[..40].to_owned();
        let _ = fs::remove_file(path);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{text}")?;
        let (hash, expires) = (Digest::of(text.as_bytes()), Timestamp(now.0 + LIFE));
        Ok((Self { hash, expires, file: path.to_owned() }, text))
    }

    /// Whether `text` is the token and still good. Hashes are compared, so the time taken tells nothing.
    pub fn check(&self, text: &str, now: Timestamp) -> Result<(), Refused> {
        if now >= self.expires {
            return Err(Refused::Expired);
        }
        if Digest::of(text.trim().as_bytes()) == self.hash { Ok(()) } else { Err(Refused::Wrong) }
    }

    /// Removes the file: the token has done its work, and whoever finds it shall not wonder what it opens.
    pub async fn spent(&self) {
        if let Err(error) = tokio::fs::remove_file(&self.file).await {
            tracing::warn!(%error, file = %self.file.display(), "the spent one-time token could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_good_for_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t");
        let (bootstrap, text) = Bootstrap::create(&file, Timestamp(0)).unwrap();
        assert_eq!(bootstrap.check(&text, Timestamp(LIFE - 1)), Ok(()));
        assert_eq!(bootstrap.check(&text, Timestamp(LIFE)), Err(Refused::Expired));
        assert_eq!(bootstrap.check("guess", Timestamp(0)), Err(Refused::Wrong));
        bootstrap.spent().await;
        assert!(!file.exists());
    }
}
