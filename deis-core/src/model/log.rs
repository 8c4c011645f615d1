//! Log lines of an app.

use serde::{Deserialize, Serialize};

use super::{InstanceName, ProcessType, ReleaseVersion, Timestamp};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was read.
    pub at: Timestamp,
    /// Who said it.
    pub source: LogSource,
    /// The text, without line end.
    pub text: String,
    /// What tells it from a repetition of itself, for lines that are written again when a process was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<LineId>,
}

impl LogLine {
    /// A line that is written once.
    pub fn new(at: Timestamp, source: LogSource, text: impl Into<String>) -> Self {
        Self { at, source, text: text.into(), id: None }
    }
}

/// Identity of a line that an event became: writing the event again gives the same lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LineId {
    /// The event.
    pub event: uuid::Uuid,
    /// Which of its lines, from 0.
    pub line: u32,
}

/// Who said a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum LogSource {
    /// A process of the app.
    Process {
        /// Its type.
        process: ProcessType,
        /// Its release.
        release: ReleaseVersion,
        /// Its instance.
        instance: InstanceName,
    },
    /// The platform.
    Platform {
        /// How important.
        level: LogLevel,
    },
}

/// Importance of a platform line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LogLevel {
    /// For information.
    Info,
    /// Something to look at.
    Warning,
    /// Something failed.
    Error,
}

/// Which lines to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// At most so many of the newest lines.
    pub lines: usize,
    /// Only lines of this process type; platform lines are left out then.
    pub process: Option<ProcessType>,
    /// Whether to go on with new lines as they come.
    pub follow: bool,
}

impl Default for LogQuery {
    fn default() -> Self {
        Self { lines: 100, process: None, follow: false }
    }
}
