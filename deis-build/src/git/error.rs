//! What can go wrong on the git side.

/// A cause of any type.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Failure of a git operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// The client did not speak git, or went away.
    #[error("the git client broke the protocol: {0}")]
    Protocol(String),
    /// What was asked for is not there.
    #[error("{0} is not in the repository")]
    Missing(String),
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
}

/// Result of a git operation.
pub(super) type Result<T> = std::result::Result<T, GitError>;
