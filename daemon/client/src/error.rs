//! What can go wrong in the client, and the exit code of each: the only place that knows the numbers.

use std::process::ExitCode;

/// A failure of a client command.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The command line cannot be read, or asks for help.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    /// The client cannot start.
    #[error("cannot start")]
    Start(#[source] std::io::Error),
    /// The command line cannot be understood.
    #[error("{0}")]
    Usage(String),
    /// There is no profile, or the controller does not accept its token.
    #[error("{message}")]
    NotLoggedIn {
        /// What this client knows it by.
        code: String,
        /// What to do, for people.
        message: String,
    },
    /// The controller refused.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What this client knows it by (`app_not_found`); empty from a controller that says none.
        code: String,
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
    /// The controller was asked, and went away.
    #[error(
        "the connection ended before the answer; what was asked for may have been done (see `deis releases`)"
    )]
    NoAnswer(#[source] reqwest::Error),
    /// An answer cannot be read.
    #[error("the controller's answer cannot be read: {0}")]
    BadAnswer(String),
    /// A stream of answers broke off.
    #[error("the connection ended; run it again")]
    Ended(#[source] reqwest::Error),
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
    /// A signal that ends this program, which it does once everything is as it was.
    #[error("ended by signal {0}")]
    Signalled(i32),
    /// A remote command ended with this code.
    #[error("the command ended with exit code {0}")]
    Remote(i32),
}

impl ClientError {
    /// Whether it is the refusal that has this code.
    pub(super) fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } | Self::NotLoggedIn { code, .. } if code == wanted)
    }

    /// The exit code: 1 failed, 2 usage, 100 not logged in, 130 interrupted, a remote command's own.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::CommandLine(error) if !error.use_stderr() => ExitCode::SUCCESS,
            Self::CommandLine(_) | Self::Usage(_) => ExitCode::from(2),
            Self::NotLoggedIn { .. } => ExitCode::from(100),
            Self::Interrupted(_) => ExitCode::from(130),
            Self::Signalled(signal) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)),
            Self::Remote(code) => ExitCode::from(u8::try_from(*code).unwrap_or(1).max(1)),
            _ => ExitCode::from(1),
        }
    }

    /// Prints it with its causes.
    pub(super) fn report(&self) {
        match self {
            Self::Remote(_) | Self::Signalled(_) => return,
            // Where help cannot be printed, the reason cannot be either.
            Self::CommandLine(error) => return drop(error.print()),
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
