//! What can go wrong, in terms that a caller can act on.

use crate::port::{BoxError, LogError, RouterError, SchedulerError, StoreError, TaskError};
use crate::{
    model::{Cause, Username},
    plan::RollbackError,
};

/// Failure of a platform call. Nothing was changed, except where [`Error::Unavailable`] says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It does not exist.
    #[error("there is no {what} \"{name}\"")]
    NotFound {
        /// Kind of thing.
        what: Kind,
        /// Its name.
        name: String,
    },
    /// The name is taken.
    #[error("{what} \"{name}\" already exists")]
    AlreadyExists {
        /// Kind of thing.
        what: Kind,
        /// Its name.
        name: String,
    },
    /// A value breaks a rule.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field that holds it.
        field: &'static str,
        /// The rule, and what to do.
        reason: String,
    },
    /// What was asked for cannot be, whichever value of it is meant.
    #[error("{reason}")]
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// A value that must be given is not.
    #[error("there is no {field}")]
    Missing {
        /// The field that should hold it.
        field: &'static str,
    },
    /// The name is the platform's own, or one that it keeps free.
    #[error("the {what} name \"{name}\" is reserved")]
    Reserved {
        /// Kind of thing that was to get it.
        what: Kind,
        /// The name.
        name: String,
    },
    /// A CPU limit cannot be read.
    #[error("cpu: a limit is <limit> or <request>/<limit>, such as 500m, 1 or 0.5/2")]
    InvalidCpu,
    /// Something is to be unset that is not set.
    #[error("{key} is not set in {member}")]
    NotSet {
        /// What.
        key: String,
        /// The member of the config that should hold it.
        member: &'static str,
    },
    /// The app has no build yet, so there is nothing to run.
    #[error("there is no build yet, so there is nothing to run")]
    NoBuild,
    /// A release cannot be gone back to.
    #[error("there is no way back to it")]
    NoRollback(#[source] RollbackError),
    /// A private registry says nothing of the port that its images listen on.
    #[error("PORT must be among the config values where there is a private registry")]
    NeedsPort,
    /// A user who owns apps cannot go.
    #[error("{user} owns apps")]
    OwnsApps {
        /// The user.
        user: Username,
    },
    /// Everything is as it was asked for already, and no release was made.
    #[error("nothing was changed")]
    Unchanged {
        /// Who asked.
        by: Username,
    },
    /// The change does not fit what is there.
    #[error("{reason}")]
    Conflict {
        /// Why.
        reason: String,
    },
    /// Something else is under way.
    #[error("{reason}")]
    Busy {
        /// What.
        reason: String,
    },
    /// It is more than the platform takes at once; nothing changed.
    #[error("{reason}")]
    TooLarge {
        /// What, and how much of it.
        reason: String,
    },
    /// The disk that keeps the platform's state has no room left; nothing changed.
    #[error("the platform's disk is full")]
    Full(#[source] BoxError),
    /// The actor may not do this.
    #[error("you do not have permission to {action}")]
    Forbidden {
        /// What was to be done.
        action: &'static str,
    },
    /// A back end has accepted something newer than what this call was about. Reading again shows it.
    #[error("something newer is in force")]
    Stale(#[source] BoxError),
    /// A back end will never take what it was given.
    #[error("it is refused: {cause}")]
    Rejected {
        /// What it said.
        cause: Cause,
    },
    /// A back end cannot be reached; whether a change took effect may be unknown.
    #[error("the platform is not available right now")]
    Unavailable(#[source] BoxError),
    /// Something that should not happen.
    #[error("internal error")]
    Internal(#[source] BoxError),
}

/// A kind of thing with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An app.
    App,
    /// A release.
    Release,
    /// A build.
    Build,
    /// A domain.
    Domain,
    /// An SSH key, by its material.
    Key,
    /// The name that a user gave to an SSH key.
    KeyId,
    /// A user.
    User,
    /// A process type of a build.
    ProcessType,
    /// A one-off command.
    Run,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::App => "app",
            Self::Release => "release",
            Self::Build => "build",
            Self::Domain => "domain",
            Self::Key => "key",
            Self::KeyId => "key id",
            Self::User => "user",
            Self::ProcessType => "process type",
            Self::Run => "command",
        })
    }
}

/// Result of a platform call.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Invalid`].
    pub fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }

    /// An [`Error::Refused`].
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::TooLarge(what) => Self::TooLarge { reason: what.to_string() },
            StoreError::Full(_) => Self::Full(Box::new(error)),
            StoreError::Corrupt { .. } | StoreError::InvalidBatch { .. } => Self::Internal(Box::new(error)),
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

impl From<SchedulerError> for Error {
    fn from(error: SchedulerError) -> Self {
        match error {
            SchedulerError::Stale { .. } => Self::Stale(Box::new(error)),
            SchedulerError::Rejected { cause } => Self::Rejected { cause },
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

impl From<RouterError> for Error {
    fn from(error: RouterError) -> Self {
        match error {
            RouterError::Stale { .. } => Self::Stale(Box::new(error)),
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

impl From<TaskError> for Error {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Stale { .. } => Self::Stale(Box::new(error)),
            TaskError::Rejected { reason } => Self::Rejected { cause: Cause::Rejected { reason } },
            TaskError::Busy => Self::Busy { reason: error.to_string() },
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

impl From<LogError> for Error {
    fn from(error: LogError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
