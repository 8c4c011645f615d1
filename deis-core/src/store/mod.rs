//! Implementations of [`crate::port::Store`].

mod limits;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use limits::{MOST_BYTES, MOST_EDITS};
pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{OpenError, SqliteStore};
