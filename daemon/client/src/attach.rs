//! What a client and the daemon say to each other on the websocket of a command.
//!
//! Binary messages are data: to the daemon input, as it is; from it one byte that names the stream, [`STDOUT`] or
//! [`STDERR`], and then output. Everything else is a text message with one of the values below as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// First byte of output that was written to standard output.
pub const STDOUT: u8 = 1;
/// First byte of output that was written to standard error.
pub const STDERR: u8 = 2;
/// So many bytes of input a client may send before it hears of more room.
pub const INPUT_WINDOW: usize = 256 * 1024;
/// Largest message, in bytes.
pub const MAX_MESSAGE: usize = 2 << 20;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientMessage {
    /// Run this; the first message on `GET /v2/apps/{app}/run`.
    Start(StartRun),
    /// The input ends.
    End,
    /// The terminal has another size.
    Resize(TerminalSize),
    /// Send this signal.
    Signal(Signal),
}

/// How large a terminal is, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// Signals that can be sent to the processes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// SIGHUP.
    Hup,
    /// SIGINT: what Ctrl-C means where there is no terminal.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGKILL.
    Kill,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGTERM.
    Term,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Its end was not seen (machine restart).
    Lost,
    /// It ran longer than allowed and was stopped.
    TimedOut,
}

/// A command to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRun {
    /// A text that a shell reads.
    pub command: String,
    /// Variables beside the config's.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// A terminal of this size; pipes without.
    #[serde(default)]
    pub terminal: Option<TerminalSize>,
}

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DaemonMessage {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What one version writes, the other reads: these texts do not change.
    #[test]
    fn the_wire_is_kept() {
        let size = TerminalSize { columns: 80, rows: 24 };
        let start = StartRun { command: "sh".to_owned(), env: BTreeMap::new(), terminal: Some(size) };
        for (message, text) in [
            (
                ClientMessage::Start(start),
                r#"{"start":{"command":"sh","env":{},"terminal":{"columns":80,"rows":24}}}"#,
            ),
            (ClientMessage::End, r#""end""#),
            (ClientMessage::Resize(size), r#"{"resize":{"columns":80,"rows":24}}"#),
            (ClientMessage::Signal(Signal::Usr1), r#"{"signal":"USR1"}"#),
        ] {
            assert_eq!(serde_json::to_string(&message).unwrap(), text);
            assert_eq!(serde_json::from_str::<ClientMessage>(text).unwrap(), message);
        }
        let refused =
            DaemonMessage::Refused { status: 409, code: "busy".to_owned(), detail: "no".to_owned() };
        for (message, text) in [
            (DaemonMessage::Started("run-1".to_owned()), r#"{"started":"run-1"}"#),
            (DaemonMessage::Room(7), r#"{"room":7}"#),
            (DaemonMessage::Lost(8), r#"{"lost":8}"#),
            (DaemonMessage::Broken("x".to_owned()), r#"{"broken":"x"}"#),
            (DaemonMessage::Ended(Exit::Code(3)), r#"{"ended":{"code":3}}"#),
            (DaemonMessage::Ended(Exit::Signal(9)), r#"{"ended":{"signal":9}}"#),
            (DaemonMessage::Ended(Exit::Lost), r#"{"ended":"lost"}"#),
            (DaemonMessage::Ended(Exit::TimedOut), r#"{"ended":"timed_out"}"#),
            (refused, r#"{"refused":{"status":409,"code":"busy","detail":"no"}}"#),
        ] {
            assert_eq!(serde_json::to_string(&message).unwrap(), text);
            assert_eq!(serde_json::from_str::<DaemonMessage>(text).unwrap(), message);
        }
    }
}
