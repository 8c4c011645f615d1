//! What can go wrong in the client, and the exit code of each: the only place that knows the numbers.

use std::process::ExitCode;

/// A failure of a client command.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The command line cannot be understood.
    #[error("{0}")]
    Usage(String),
    /// There is no profile, or the controller does not accept its token.
    #[error("{0}")]
    NotLoggedIn(String),
    /// The controller refused.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it said, for people.
        message: String,
    },
    /// The controller cannot be reached.
    #[error("cannot reach the controller at {url}; is it running there? (`deisd serve` starts one)")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An answer cannot be read.
    #[error("the controller's answer cannot be read: {0}")]
    BadAnswer(String),
    /// A file cannot be read or written.
    #[error("{what}")]
    File {
        /// What was to be done.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Git refused.
    #[error("git: {0}")]
    Git(String),
    /// Something else that a person must change.
    #[error("{0}")]
    Other(String),
    /// Ctrl-C while waiting.
    #[error("{0}")]
    Interrupted(String),
    /// A remote command ended with this code.
    #[error("the command ended with exit code {0}")]
    Remote(i32),
}

impl ClientError {
    /// The exit code: 1 failed, 2 usage, 100 not logged in, 130 interrupted, a remote command's own.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::NotLoggedIn(_) => ExitCode::from(100),
            Self::Interrupted(_) => ExitCode::from(130),
            Self::Remote(code) => ExitCode::from(u8::try_from(*code).unwrap_or(1).max(1)),
            _ => ExitCode::from(1),
        }
    }

    /// Prints it with its causes.
    pub(super) fn report(&self) {
        match self {
            Self::Remote(_) => return,
            Self::Interrupted(text) => return eprintln!("\n{text}"),
            _ => {}
        }
        eprintln!("Error: {self}");
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            eprintln!("  caused by: {inner}");
            cause = inner.source();
        }
    }
}

/// Result of a client command.
pub(super) type Result<T> = std::result::Result<T, ClientError>;
