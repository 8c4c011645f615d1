//! Waits for file descriptors that tokio has no type for.

use std::{io, os::fd::OwnedFd};

use tokio::io::unix::AsyncFd;

/// Watches a descriptor.
#[expect(
    deprecated,
    reason = "its replacement is unsafe since a type may lie about its descriptor; `OwnedFd` cannot"
)]
pub(crate) fn async_fd(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}
