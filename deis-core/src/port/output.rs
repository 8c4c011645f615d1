//! The output of a task: what its readers get, and how much of it is kept.

use std::time::Duration;

use bytes::Bytes;

use crate::model::{Exit, Timestamp};

/// A position in a task's output. Opaque: it comes with each item, and means something to the runner that made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(u64);

impl Cursor {
    /// The oldest that is still there.
    pub const START: Self = Self(0);

    /// For runners: a cursor that stands for this number.
    pub fn from_raw(position: u64) -> Self {
        Self(position)
    }

    /// For runners: the number that it stands for.
    pub fn into_raw(self) -> u64 {
        self.0
    }
}

/// Most output of a task that is kept, in bytes.
pub const MAX_TASK_OUTPUT: u64 = 8 << 20;

/// A task whose output is [held](crate::model::WhenFull::Hold) and full is stopped when nobody has read it for so long.
pub const HOLD_LIMIT: Duration = Duration::from_secs(30);

/// Largest chunk of output or input that is handed on at once, in bytes.
pub const MAX_CHUNK: usize = 16 * 1024;

/// Which stream of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputStream {
    /// Standard output; everything, where the streams are merged.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output, cut anywhere: neither lines nor characters are kept together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputChunk {
    /// Where it was written.
    pub stream: OutputStream,
    /// When it was taken in.
    pub at: Timestamp,
    /// At most [`MAX_CHUNK`], exactly as written, in the order of its stream.
    pub bytes: Bytes,
}

/// What a reader of a task gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputItem {
    /// Output.
    Output(OutputChunk),
    /// So much is missing here: it was dropped before this reader came.
    Lost {
        /// How much.
        bytes: u64,
    },
    /// The output ends too early, and the task was ended for it.
    Broken {
        /// Why, for people.
        reason: String,
    },
    /// The end, after all output: the last item, exactly once.
    Ended {
        /// How.
        exit: Exit,
    },
}

/// An item with the cursor behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positioned {
    /// Where to go on after this item.
    pub cursor: Cursor,
    /// The item.
    pub item: OutputItem,
}
