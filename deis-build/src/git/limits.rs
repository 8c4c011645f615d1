//! How much a push may bring.

use super::pack_memory::PackMemory;

/// How much a push may bring.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the pack as sent.
    pub pack_bytes: u64,
    /// Bytes of one object, unpacked.
    pub object_bytes: usize,
    /// Bytes of all objects, unpacked.
    pub unpacked_bytes: u64,
    /// Memory for unpacking packs, of all pushes that share these limits.
    pub memory: PackMemory,
    /// Objects of the pack.
    pub objects: u32,
    /// Refs that may move in one push.
    pub commands: usize,
    /// Bytes of the commands of one push.
    pub command_bytes: usize,
    /// Options of one push. They are read and mean nothing here.
    pub options: usize,
    /// Refs of a repository.
    pub refs: usize,
    /// Commits without parents that the client may name.
    pub shallow: usize,
    /// Whether only fast-forwards are taken.
    pub only_fast_forward: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pack_bytes: 2 << 30,
            object_bytes: 128 << 20,
            unpacked_bytes: 4 << 30,
            memory: PackMemory::new(1 << 30),
            objects: 1_000_000,
            commands: 1000,
            command_bytes: 1 << 20,
            options: 100,
            refs: 10_000,
            shallow: 10_000,
            only_fast_forward: false,
        }
    }
}
