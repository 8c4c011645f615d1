//! What can go wrong on the git side.

use std::{error::Error as StdError, io};

/// A cause of any type.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Failure of a git operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// The client did not speak git, or went away.
    #[error("the git client broke the protocol: {0}")]
    Protocol(String),
    /// What was asked for is not served.
    #[error("{0}")]
    Refused(String),
    /// A tree cannot be written to a folder.
    #[error("{path:?} cannot be exported: {reason}")]
    Export {
        /// Path in the tree.
        path: String,
        /// Why.
        reason: String,
    },
    /// A remote repository cannot be fetched.
    #[error("cannot fetch {url}: {reason}")]
    Fetch {
        /// Where from.
        url: String,
        /// Why, for people.
        reason: String,
    },
    /// It was stopped from outside.
    #[error("the work was stopped")]
    Cancelled,
    /// Reading or writing failed.
    #[error("input or output failed")]
    Io(#[from] std::io::Error),
    /// The repository is damaged or cannot be opened.
    #[error("the repository cannot be used")]
    Repository(#[source] Cause),
}

impl GitError {
    pub(super) fn repository(error: impl Into<Cause>) -> Self {
        Self::Repository(error.into())
    }

    /// What a client is told: its own mistakes in full, what is wrong on this side by its kind.
    pub fn for_client(&self) -> String {
        if is_disk_full(self) {
            return DISK_FULL.to_owned();
        }
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
                "the client stopped sending, or sent next to nothing".to_owned()
            }
            Self::Io(_) | Self::Repository(_) => {
                "the repository cannot be used right now; try again in a moment".to_owned()
            }
            other => other.to_string(),
        }
    }
}

/// What somebody is told who meets a full disk.
pub(crate) const DISK_FULL: &str = "the disk of the platform is full; tell its operator";

/// Whether an error, or one of its causes, is that a disk has no room left.
pub fn is_disk_full(error: &(dyn StdError + 'static)) -> bool {
    let full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && (full(io.kind()) || io.get_ref().is_some_and(|inner| is_disk_full(inner)))
        {
            return true;
        }
        if let Some(git) = error.downcast_ref::<gix::error::Error>()
            && git.iter_errors().any(|e| e.downcast_ref::<io::Error>().is_some_and(|io| full(io.kind())))
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// Result of a git operation.
pub(super) type Result<T> = std::result::Result<T, GitError>;
