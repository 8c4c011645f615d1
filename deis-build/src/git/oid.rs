//! Object ids without gix in sight.

use std::fmt;

use gix::hash::ObjectId;

/// The id of a git object: 40 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(String);

impl Oid {
    /// Checks and wraps 40 hex digits.
    pub fn new(hex: &str) -> Option<Self> {
        let valid = hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        valid.then(|| Self(hex.to_owned()))
    }

    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven, for people.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }

    /// The first eight: what a build calls the commit that it is made of.
    pub fn build(&self) -> &str {
        &self.0[..8]
    }

    /// Where a ref itself points, a tag object included.
    pub(super) fn of_ref(repo: &gix::Repository, name: &str) -> Option<Self> {
        let found = repo.try_find_reference(name).ok().flatten()?;
        found.try_id().map(|id| Self::from(id.detach()))
    }

    pub(super) fn to_gix(&self) -> ObjectId {
        ObjectId::from_hex(self.0.as_bytes()).expect("40 hex digits are an object id")
    }
}

impl From<ObjectId> for Oid {
    fn from(id: ObjectId) -> Self {
        Self(id.to_string())
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
