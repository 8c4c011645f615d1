//! Where log lines of apps are kept: in memory, or on disk beside the processes that print them.

#[cfg(feature = "local")]
mod files;
#[cfg(feature = "local")]
mod follow;
#[cfg(feature = "local")]
mod known_ids;
mod ring;
#[cfg(feature = "local")]
mod source;

#[cfg(feature = "local")]
pub use files::FileLogs;
pub use ring::RingLogs;
