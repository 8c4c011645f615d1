//! What a process starts with.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A command of a process type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A line for a shell in the app's own process, as in a Procfile.
    Shell(String),
    /// Program and arguments, which no shell reads.
    Argv(Vec<String>),
    /// What the image says by itself.
    ImageDefault,
}

impl Command {
    /// Whether there is nothing to start in it.
    ///
    /// ```
    /// use deis_core::model::Command;
    /// assert!(Command::Shell("  ".to_owned()).is_empty());
    /// assert!(!Command::ImageDefault.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Shell(line) => line.trim().is_empty(),
            Self::Argv(words) => words.first().is_none_or(String::is_empty),
            Self::ImageDefault => false,
        }
    }

    /// The line, if a shell reads one.
    pub fn as_shell(&self) -> Option<&str> {
        match self {
            Self::Shell(line) => Some(line),
            Self::Argv(_) | Self::ImageDefault => None,
        }
    }

    /// Whether it holds a NUL byte, which no process can be given.
    pub fn has_nul(&self) -> bool {
        match self {
            Self::Shell(line) => line.contains('\0'),
            Self::Argv(words) => words.iter().any(|word| word.contains('\0')),
            Self::ImageDefault => false,
        }
    }
}

impl From<&str> for Command {
    fn from(line: &str) -> Self {
        Self::Shell(line.to_owned())
    }
}

/// The command as people read it; nothing for an image's own.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(line) => f.write_str(line),
            Self::Argv(words) => f.write_str(&words.join(" ")),
            Self::ImageDefault => Ok(()),
        }
    }
}
