//! What a client and the daemon say to each other on the websocket of a command.
//!
//! Binary messages are data: to the daemon input, as it is; from it one byte that names the stream, [`STDOUT`] or
//! [`STDERR`], and then output. Everything else is a text message with one of the values below as JSON.

use std::collections::BTreeMap;

use deis_core::{Exit, TaskSignal, TerminalSize};
use serde::{Deserialize, Serialize};

/// First byte of output that was written to standard output.
pub(crate) const STDOUT: u8 = 1;
/// First byte of output that was written to standard error.
pub(crate) const STDERR: u8 = 2;
/// So many bytes of input a client may send before it hears of more room.
pub(crate) const INPUT_WINDOW: usize = 256 * 1024;
/// Largest message, in bytes.
pub(crate) const MAX_MESSAGE: usize = 2 << 20;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientMessage {
    /// Run this; the first message on `GET /v2/apps/{app}/run`.
    Start(StartRun),
    /// The input ends.
    End,
    /// The terminal has another size.
    Resize(TerminalSize),
    /// Send this signal.
    Signal(TaskSignal),
}

/// A command to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StartRun {
    /// A text that a shell reads.
    pub(crate) command: String,
    /// Variables beside the config's.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// A terminal of this size; pipes without.
    #[serde(default)]
    pub(crate) terminal: Option<TerminalSize>,
}

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DaemonMessage {
    /// It runs, under this name.
    Started(String),
    /// So many bytes more of input may be sent.
    Room(usize),
    /// So many bytes of output are missing here.
    Lost(u64),
    /// The output ends too early, for this reason.
    Broken(String),
    /// The end, after all output.
    Ended(Exit),
    /// What was asked for is refused.
    Refused {
        /// The status that an HTTP answer would have.
        status: u16,
        /// What a program knows it by, as in the header `DEIS_ERROR_CODE`.
        code: String,
        /// Why, for people.
        detail: String,
    },
}
