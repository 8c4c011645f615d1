//! Slugs: a built app as a `tar.zst`, packed and unpacked.
//!
//! What a build left is what runs, so a slug holds of each entry what a program can tell it by: type, permission bits,
//! link target, content, which names are hard links of one file, and which of two entries is the newer one. It holds
//! nothing that differs from machine to machine: no owners, no inode numbers, and no times of day. The same folder
//! packed twice gives the same bytes.

mod archive;
mod ignored;
#[cfg(all(test, feature = "local"))]
mod tests;
#[cfg(feature = "local")]
mod unpack;

use std::io;

pub(crate) use archive::pack;
#[cfg(feature = "local")]
pub(crate) use unpack::unpack;

/// How much a slug may hold. Checked while it is packed and again while it is unpacked: the one is for the person who
/// pushed, the other for the host that runs what somebody else's daemon packed.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct SlugLimits {
    /// Bytes of all files.
    pub(crate) unpacked_bytes: u64,
    /// Files, folders and links.
    pub(crate) entries: usize,
    /// Bytes of the compressed archive.
    pub(crate) packed_bytes: u64,
}

impl Default for SlugLimits {
    fn default() -> Self {
        Self { unpacked_bytes: 8 << 30, entries: 1_000_000, packed_bytes: 4 << 30 }
    }
}

/// 2000-01-01T00:00:00Z. The entries with the n-th distinct time of a build have this time and n seconds in its slug:
/// their order is kept, which tools compare, and no time of day is.
pub(crate) const EPOCH: u64 = 946_684_800;

/// An archive that cannot be packed or must not be unpacked, for people.
fn refused(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}
