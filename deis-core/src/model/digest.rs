//! SHA-256 digests of artifacts, releases and build keys.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::InvalidName;

/// A SHA-256 digest, written as `sha256:<64 hex digits>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of `data`.
    ///
    /// ```
    /// let digest = deis_core::Digest::of(b"hello");
    /// assert!(digest.to_string().starts_with("sha256:2cf24dba"));
    /// ```
    pub fn of(data: &[u8]) -> Self {
        Self::from_hash(&Sha256::digest(data))
    }

    /// Wraps the 32 bytes that a SHA-256 hasher returned.
    pub fn from_hash(hash: &[u8]) -> Self {
        let mut text = String::with_capacity(64);
        for byte in hash {
            use fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// The 64 hex digits.
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// The first 12 hex digits, for people and labels.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

/// What a digest is taken over: the fields that count, one by one, under the name and version of their list.
///
/// A digest over the JSON of a struct changes when the struct gets a field, although nothing has changed that it stands
/// for. Here a new field counts only for whoever has it: absent and empty values are not written.
///
/// ```
/// use deis_core::model::Projection;
/// let id = |port: Option<&str>| {
///     let mut fields = Projection::new("example", 1);
///     fields.text("name", "blog");
///     fields.maybe("port", port);
///     fields.digest()
/// };
/// assert_eq!(id(None), id(None));
/// assert_ne!(id(None), id(Some("80")));
/// ```
#[derive(Clone, Debug)]
pub struct Projection(Sha256);

impl Projection {
    /// An empty list of fields. The version rises when fields that exist are written in another way.
    pub fn new(list: &str, version: u32) -> Self {
        let mut fields = Self(Sha256::new());
        fields.text(list, &version.to_string());
        fields
    }

    /// A field that is always there. Lengths stand before names and values, so that no two lists look the same.
    pub fn text(&mut self, name: &str, value: &str) {
        for part in [name, value] {
            self.0.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            self.0.update(part);
        }
    }

    /// A field that need not be there.
    pub fn maybe(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.text(name, value.as_ref());
        }
    }

    /// The entries of a map, in its order; none for an empty one.
    pub fn entries<K: fmt::Display, V: AsRef<str>>(
        &mut self,
        name: &str,
        map: impl IntoIterator<Item = (K, V)>,
    ) {
        for (key, value) in map {
            self.text(name, &key.to_string());
            self.text("=", value.as_ref());
        }
    }

    /// The digest of all of them.
    pub fn digest(self) -> Digest {
        Digest::from_hash(&self.0.finalize())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidName;
    fn try_from(value: String) -> Result<Self, InvalidName> {
        let hex = value.strip_prefix("sha256:").unwrap_or(&value);
        if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(hex.to_owned()))
        } else {
            Err(InvalidName {
                kind: "digest",
                value,
                reason: "it must be sha256: and 64 lower-case hex digits",
            })
        }
    }
}

impl std::str::FromStr for Digest {
    type Err = InvalidName;
    fn from_str(value: &str) -> Result<Self, InvalidName> {
        Self::try_from(value.to_owned())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}
