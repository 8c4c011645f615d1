//! A command's input, output, signals and end, carried over a websocket to this terminal or these pipes.

use std::{
    future::poll_fn,
    io::{IsTerminal as _, Read as _},
    task::Poll,
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::{
    signal::unix::{self, SignalKind, signal},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::{
    error::{ClientError, Result},
    output,
    printer::{self, Piece, outcome},
};
use crate::attach::{ClientMessage, DaemonMessage, Exit, INPUT_WINDOW, STDERR, STDOUT, Signal, TerminalSize};

/// A websocket to the daemon.
pub(super) type Socket = WebSocketStream<reqwest::Upgraded>;

/// Bytes of input that are read at once.
const CHUNK: usize = 16 * 1024;
/// Silence that means that the daemon has gone: it asks every 20 s whether this client is there.
const SILENCE: Duration = Duration::from_secs(60);
/// How often the daemon hears that this client is there. It does not wait to be asked: the question may be behind output
/// that nobody here takes yet.
const ALIVE: Duration = Duration::from_secs(15);
/// How long the daemon may take to hear that this client goes.
const GOODBYE: Duration = Duration::from_secs(5);

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
        // Not after all output was shown: somebody may have stopped it, and the terminal is needed to go on.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) exit: Exit,
    /// Why its output ended too early, if it did.
    pub(super) reason: Option<String>,
}

/// Signals to this program.
struct Signals {
    interrupt: unix::Signal,
    resized: unix::Signal,
    /// Those that end a program which does not say otherwise: a raw terminal must be set back before.
    fatal: Vec<(i32, unix::Signal)>,
}

enum Told {
    Interrupt,
    Resized,
    Fatal(i32),
}

impl Signals {
    fn new(in_terminal: bool) -> Result<Self> {
        let listen = |kind: SignalKind| signal(kind).map_err(ClientError::Start);
        let mut fatal = Vec::new();
        if in_terminal {
            for kind in [SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()] {
                fatal.push((kind.as_raw_value(), listen(kind)?));
            }
        }
        Ok(Self { interrupt: output::interrupts()?, resized: listen(SignalKind::window_change())?, fatal })
    }

    async fn next(&mut self) -> Told {
        let fatal = poll_fn(|cx| {
            let mut came = self.fatal.iter_mut().filter_map(|(number, signal)| {
                if signal.poll_recv(cx).is_ready() { Some(*number) } else { None }
            });
            came.next().map_or(Poll::Pending, Poll::Ready)
        });
        tokio::select! {
            _ = self.interrupt.recv() => Told::Interrupt,
            _ = self.resized.recv() => Told::Resized,
            number = fatal => Told::Fatal(number),
        }
    }
}

/// Carries everything until the command has ended and all of its output is written. `lost` is what to say when the
/// connection breaks off.
pub(super) async fn carry(socket: Socket, input: &Input, in_terminal: bool, lost: &str) -> Result<Ended> {
    let mut signals = Signals::new(in_terminal)?;
    let (queue, mut printed) = printer::start();
    let talk = Talk { input, in_terminal, lost, queue: &queue };
    let ended = tokio::select! {
        ended = talk.talk(socket, &mut signals) => ended,
        // Before the end of the queue it ends only because it failed.
        failed = &mut printed => return Err(outcome(failed).err().unwrap_or_else(|| talk.lost())),
    };
    if let Err(ClientError::Interrupted(_) | ClientError::Signalled(_)) = ended {
        return ended;
    }
    // Whatever came before the end is written, however long that takes.
    drop(queue);
    loop {
        tokio::select! {
            result = &mut printed => return outcome(result).and(ended),
            told = signals.next() => match told {
                Told::Fatal(number) => return Err(ClientError::Signalled(number)),
                Told::Interrupt => return Err(ClientError::Interrupted("Left.".to_owned())),
                Told::Resized => {}
            }
        }
    }
}

/// One conversation about a command.
struct Talk<'a> {
    input: &'a Input,
    in_terminal: bool,
    lost: &'a str,
    queue: &'a mpsc::Sender<Piece>,
}

impl Talk<'_> {
    async fn talk(&self, socket: Socket, signals: &mut Signals) -> Result<Ended> {
        let (sink, mut stream) = socket.split();
        let mut sink = Sending { sink, broken: false };
        let mut typed = matches!(self.input, Input::Forwarded).then(read_input);
        let mut alive = interval(ALIVE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut window, mut interrupted, mut reason) = (INPUT_WINDOW, false, None);
        // Nothing is read without a place in the queue for it: what comes may have to be written.
        let (mut place, mut heard) = (None, Instant::now());
        loop {
            let piece = async {
                match &mut typed {
                    Some(typed) if window >= CHUNK => typed.recv().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                free = self.queue.reserve(), if place.is_none() => {
                    // Without a queue writing has failed, which `carry` tells.
                    let Ok(free) = free else { return std::future::pending().await };
                    (place, heard) = (Some(free), Instant::now());
                }
                message = timeout_at(heard + SILENCE, stream.next()), if place.is_some() => {
                    let Ok(Some(Ok(message))) = message else { return Err(self.lost()) };
                    heard = Instant::now();
                    let written = match message {
                        Message::Binary(bytes) => Some(piece_of(&bytes)?),
                        Message::Text(text) => match decode(&text)? {
                            DaemonMessage::Room(bytes) => {
                                window += bytes;
                                None
                            }
                            DaemonMessage::Ended(exit) => {
                                sink.goodbye().await;
                                return Ok(Ended { exit, reason });
                            }
                            DaemonMessage::Lost(bytes) => {
                                Some(Piece::Warning(format!("{bytes} bytes of output are missing here.")))
                            }
                            DaemonMessage::Broken(why) => {
                                let text = format!("The output ends too early: {why}");
                                reason = Some(why);
                                Some(Piece::Warning(text))
                            }
                            DaemonMessage::Refused { status, code, detail } => {
                                sink.goodbye().await;
                                return Err(ClientError::Refused { status, code, message: detail });
                            }
                            DaemonMessage::Started(_) => None,
                        },
                        Message::Close(_) => return Err(self.lost()),
                        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
                    };
                    if let Some(written) = written
                        && let Some(place) = place.take()
                    {
                        place.send(written);
                    }
                }
                piece = piece => {
                    if let Some(bytes) = piece {
                        window -= bytes.len();
                        sink.send(Message::Binary(bytes)).await;
                    } else {
                        typed = None;
                        sink.send(encode(&ClientMessage::End)).await;
                    }
                    if sink.broken {
                        // Nobody takes more; what the daemon said before is still to be read.
                        typed = None;
                    }
                }
                told = signals.next() => match told {
                    Told::Fatal(number) => return Err(ClientError::Signalled(number)),
                    Told::Interrupt if interrupted || matches!(self.input, Input::None) => {
                        return Err(self.left());
                    }
                    Told::Interrupt => {
                        interrupted = true;
                        sink.send(encode(&ClientMessage::Signal(Signal::Int))).await;
                    }
                    Told::Resized => {
                        if let Some(size) = terminal().filter(|_| self.in_terminal) {
                            sink.send(encode(&ClientMessage::Resize(size))).await;
                        }
                    }
                },
                _ = alive.tick() => sink.send(Message::Pong(Bytes::new())).await,
            }
        }
    }

    fn lost(&self) -> ClientError {
        ClientError::Other(self.lost.to_owned())
    }

    fn left(&self) -> ClientError {
        let text = match self.input {
            Input::Forwarded => "Left; the command ends with this.",
            Input::None => "Left; the command goes on.",
        };
        ClientError::Interrupted(text.to_owned())
    }
}

/// What is said to the daemon. That it hears no more is no reason to stop listening: what it said last may be on its
/// way, and its silence shows that it has gone.
struct Sending {
    sink: SplitSink<Socket, Message>,
    broken: bool,
}

impl Sending {
    async fn send(&mut self, message: Message) {
        self.broken = self.broken || self.sink.send(message).await.is_err();
    }

    /// Everything was heard: the daemon need not wait until it is written too.
    async fn goodbye(&mut self) {
        let _ = timeout(GOODBYE, self.sink.send(Message::Close(None))).await;
    }
}

fn piece_of(message: &Bytes) -> Result<Piece> {
    match message.first() {
        Some(&STDOUT) => Ok(Piece::Stdout(message.slice(1..))),
        Some(&STDERR) => Ok(Piece::Stderr(message.slice(1..))),
        _ => Err(ClientError::BadAnswer("output of an unknown stream".to_owned())),
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
