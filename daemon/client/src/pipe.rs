//! A command's input, output, signals and end, carried over a websocket to this terminal or these pipes.

use std::{
    io::{IsTerminal as _, Read as _},
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::error::{ClientError, Result};
use crate::attach::{ClientMessage, DaemonMessage, Exit, INPUT_WINDOW, STDERR, STDOUT, Signal, TerminalSize};

/// A websocket to the daemon.
pub(super) type Socket = WebSocketStream<reqwest::Upgraded>;

/// Bytes of input that are read at once.
const CHUNK: usize = 16 * 1024;
/// What a program ends with whose reader has gone.
const BROKEN_PIPE: i32 = 128 + 13;
/// Silence that means that the daemon has gone: it asks every 20 s whether this client is there.
const SILENCE: Duration = Duration::from_secs(60);

/// Whether standard input is read, and how the terminal is set.
pub(super) enum Input {
    /// From here, byte by byte.
    Forwarded,
    /// Nothing is read: the command is only followed.
    None,
}

/// The size of this terminal, if both ends of this program are one.
pub(super) fn terminal() -> Option<TerminalSize> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return None;
    }
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    Some(TerminalSize { columns: size.ws_col.max(1), rows: size.ws_row.max(1) })
}

/// The terminal as it was, which it is again when this value goes.
pub(super) struct RawTerminal(Termios);

impl RawTerminal {
    /// Hands every key on as it is typed, Ctrl-C too.
    pub(super) fn enter() -> Result<Self> {
        let before = tcgetattr(std::io::stdin()).map_err(|e| ClientError::Start(e.into()))?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).map_err(|e| ClientError::Start(e.into()))?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.0);
    }
}

/// Carries everything until the command has ended; gives how it did.
pub(super) async fn carry(socket: Socket, input: &Input, in_terminal: bool) -> Result<Exit> {
    let mut interrupts = super::output::interrupts()?;
    let mut resized = signal(SignalKind::window_change()).map_err(ClientError::Start)?;
    let (mut sink, mut stream) = socket.split();
    let mut typed = matches!(input, Input::Forwarded).then(read_input);
    let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
    let mut room = INPUT_WINDOW;
    let mut interrupted = false;
    loop {
        let piece = async {
            match &mut typed {
                Some(typed) if room >= CHUNK => typed.recv().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            message = tokio::time::timeout(SILENCE, stream.next()) => {
                let Ok(Some(Ok(message))) = message else { return Err(lost()) };
                match message {
                    Message::Binary(bytes) => print(&bytes, &mut stdout, &mut stderr).await?,
                    Message::Text(text) => match decode(&text)? {
                        DaemonMessage::Room(bytes) => room += bytes,
                        DaemonMessage::Ended(exit) => return Ok(exit),
                        DaemonMessage::Lost(bytes) => {
                            super::output::warn(&format!("{bytes} bytes of output are missing here."));
                        }
                        DaemonMessage::Broken(reason) => {
                            super::output::warn(&format!("The output ends too early: {reason}"));
                        }
                        DaemonMessage::Refused { status, code, detail } => {
                            return Err(ClientError::Refused { status, code, message: detail });
                        }
                        DaemonMessage::Started(_) => {}
                    },
                    Message::Close(_) => return Err(lost()),
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                }
            }
            piece = piece => {
                let message = if let Some(bytes) = piece {
                    room -= bytes.len();
                    Message::Binary(bytes)
                } else {
                    typed = None;
                    encode(&ClientMessage::End)
                };
                sink.send(message).await.map_err(|_| lost())?;
            }
            _ = interrupts.recv() => {
                if interrupted || matches!(input, Input::None) {
                    let text = match input {
                        Input::Forwarded => "Left; the command ends with this.",
                        Input::None => "Left; the command goes on.",
                    };
                    return Err(ClientError::Interrupted(text.to_owned()));
                }
                interrupted = true;
                sink.send(encode(&ClientMessage::Signal(Signal::Int))).await.map_err(|_| lost())?;
            }
            _ = resized.recv(), if in_terminal => {
                if let Some(size) = terminal() {
                    sink.send(encode(&ClientMessage::Resize(size))).await.map_err(|_| lost())?;
                }
            }
        }
    }
}

/// Says what to run.
pub(super) fn encode(message: &ClientMessage) -> Message {
    Message::Text(serde_json::to_string(message).unwrap_or_default().into())
}

fn decode(text: &str) -> Result<DaemonMessage> {
    serde_json::from_str(text).map_err(|e| ClientError::BadAnswer(e.to_string()))
}

/// Reads standard input on a thread of its own, which nobody waits for: it may never end.
fn read_input() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(1);
    thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0; CHUNK];
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(n) => {
                    if sender.blocking_send(Bytes::copy_from_slice(&buffer[..n])).is_err() {
                        return;
                    }
                }
            }
        }
    });
    receiver
}

async fn print(
    bytes: &[u8],
    stdout: &mut (impl AsyncWrite + Unpin),
    stderr: &mut (impl AsyncWrite + Unpin),
) -> Result<()> {
    let Some((stream, bytes)) = bytes.split_first() else { return Ok(()) };
    let written = match *stream {
        STDOUT => write(stdout, bytes).await,
        STDERR => write(stderr, bytes).await,
        _ => return Err(ClientError::BadAnswer("output of an unknown stream".to_owned())),
    };
    // As for any program whose reader has gone.
    written.map_err(|_| ClientError::Remote(BROKEN_PIPE))
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

fn lost() -> ClientError {
    ClientError::Other("the connection to the command was lost; it ends with it".to_owned())
}
