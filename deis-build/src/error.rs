//! Why a build did not become a release.

use crate::{
    artifacts::StoreFailed,
    git::{DISK_FULL, GitError},
};

/// Failure of a build. The message is for the person who pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The source cannot be built as it is.
    #[error("{0}")]
    Refused(String),
    /// No buildpack knows the source.
    #[error("no buildpack matches this source; tried {}", tried(.0))]
    NoMatch(Vec<(String, String)>),
    /// A step of the build failed.
    #[error("{step} failed with exit code {exit}")]
    Failed {
        /// Which.
        step: String,
        /// How.
        exit: i32,
    },
    /// There is no room for what the build writes.
    #[error("{DISK_FULL}")]
    DiskFull,
    /// The builder ended without saying what came of the build.
    #[error("the build ended without a result, with exit code {exit}")]
    NoResult {
        /// How.
        exit: i32,
    },
    /// The build took too long.
    #[error("the build took longer than {0} s and was stopped")]
    TooLong(u64),
    /// The build was ended from outside.
    #[error("the build was interrupted")]
    Interrupted,
    /// The source cannot be read.
    #[error("the source cannot be read")]
    Source(#[from] GitError),
    /// The slug cannot be stored.
    #[error("the slug cannot be stored")]
    Store(#[from] StoreFailed),
    /// The build cannot be run.
    #[error("the build cannot be run here")]
    Runner(#[from] deis_core::port::TaskError),
    /// The build's folder cannot be used.
    #[error("the build's folder cannot be used")]
    Io(#[from] std::io::Error),
}

fn tried(all: &[(String, String)]) -> String {
    if all.is_empty() {
        return "none, for none is installed".to_owned();
    }
    all.iter().map(|(name, why)| format!("{name} ({why})")).collect::<Vec<_>>().join(", ")
}

impl BuildError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoMatch(_) => {
                "add what one of them looks for, or a Procfile, or name a buildpack with \
                 `deis config:set BUILDPACK_URL=https://…`"
            }
            Self::Failed { .. } => "the lines above say why; push again once it is mended",
            Self::TooLong(_) => "make the build faster, or ask the operator for a higher limit",
            Self::Interrupted => "push again",
            Self::NoResult { .. } => {
                "push again; if that does not help, the lines above are for the platform's operator"
            }
            _ => return None,
        })
    }

    /// The exit code of the build, as the line for scripts names it.
    pub fn exit_code(&self) -> i32 {
        if let Self::Failed { exit, .. } = self { *exit } else { 1 }
    }
}
