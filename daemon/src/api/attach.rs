//! Commands as pipes: their input, output, signals and end on a websocket.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    http::Response,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use deis_client::attach::{ClientMessage, DaemonMessage, INPUT_WINDOW, MAX_MESSAGE, STDERR, STDOUT};
use deis_core::{
    AppHandle, AppName, Kind, Username,
    model::TaskInput,
    port::{Attached, Cursor, MAX_CHUNK, OutputItem, OutputItems, OutputStream, TaskWriter},
    service::RunOptions,
};
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    ApiState,
    auth::Caller,
    error::{ApiError, Result},
    runs,
    url::{Query, Segments},
};
use crate::{
    dto::command,
    keyed_limit::{Exhausted, KeyedLimit, KeyedPermit},
};

/// Most commands that one user is attached to at a time.
const MAX_PER_USER: usize = 16;
/// Most commands that all users together are attached to at a time.
const MAX_IN_ALL: usize = 256;
/// How long the first message may take.
const START_WAIT: Duration = Duration::from_secs(10);
/// How often a client is asked whether it is there.
const PING: Duration = Duration::from_secs(20);
/// A client that says nothing for so long, not even that it is there, is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Messages that wait for a slow client; output that follows waits in the task.
const QUEUE: usize = 8;

/// Who is attached to commands. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Attachments(KeyedLimit<Username>);

impl Default for Attachments {
    fn default() -> Self {
        Self(KeyedLimit::with_total(MAX_PER_USER, MAX_IN_ALL))
    }
}

impl Attachments {
    fn enter(&self, user: &Username) -> Result<KeyedPermit<Username>> {
        self.0.enter(user.clone()).map_err(|bound| match bound {
            Exhausted::Key => ApiError::TooMany(format!(
                "You are attached to {MAX_PER_USER} commands already; end one of them first."
            )),
            Exhausted::Total => ApiError::Unavailable(
                "Too many commands are attached to right now; try again later.".to_owned(),
            ),
        })
    }
}

type Upgrade = std::result::Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

fn upgrade(asked: Upgrade) -> Result<WebSocketUpgrade> {
    let asked = asked.map_err(|_| ApiError::Bad("This needs a websocket.".to_owned()))?;
    Ok(asked.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE))
}

async fn app_of(caller: &Caller, path: &Segments) -> Result<AppHandle> {
    let name = path.get("app").and_then(|name| AppName::new(name).ok());
    Ok(caller.session.app(&name.ok_or(ApiError::NoMatch(Kind::App))?).await?)
}

/// Runs the command that the first message names, which ends when its client goes.
pub(super) async fn run(
    State(state): State<ApiState>,
    caller: Caller,
    path: Segments,
    asked: Upgrade,
) -> Result<Response<Body>> {
    let app = app_of(&caller, &path).await?;
    let upgrade = upgrade(asked)?;
    let permit = state.attachments.enter(&caller.user.name)?;
    Ok(upgrade.on_upgrade(move |mut socket| async move {
        match begin(&app, &mut socket).await {
            Ok(attached) => serve(socket, attached).await,
            Err(error) => {
                let (status, code, detail) = error.into_message();
                let _ = socket.send(text(&DaemonMessage::Refused { status, code, detail })).await;
                let _ = socket.send(Message::Close(None)).await;
            }
        }
        drop(permit);
    }))
}

/// Follows a command, from the oldest output that is kept; with `input=1` also writes to it.
pub(super) async fn follow(
    State(state): State<ApiState>,
    caller: Caller,
    path: Segments,
    query: Query,
    asked: Upgrade,
) -> Result<Response<Body>> {
    let app = app_of(&caller, &path).await?;
    let name = runs::name_of(&path)?;
    let upgrade = upgrade(asked)?;
    let permit = state.attachments.enter(&caller.user.name)?;
    let input = matches!(query.get("input"), Some("1" | "true"));
    let attached = app.attach_run(&name, Cursor::START, input).await?;
    Ok(upgrade.on_upgrade(move |socket| async move {
        serve(socket, attached).await;
        drop(permit);
    }))
}

async fn begin(app: &AppHandle, socket: &mut WebSocket) -> Result<Attached> {
    let first = timeout(START_WAIT, socket.recv()).await;
    let Ok(Some(Ok(Message::Text(first)))) = first else {
        return Err(ApiError::Bad("The first message says what to run.".to_owned()));
    };
    let Ok(ClientMessage::Start(start)) = serde_json::from_str(&first) else {
        return Err(ApiError::Bad("The first message says what to run.".to_owned()));
    };
    let input = start.terminal.map_or(TaskInput::Open, |size| TaskInput::Terminal(command::size(size)));
    let options = RunOptions { env: runs::variables(&start)?, ..RunOptions::attached(input) };
    let name = app.start_run(&start.command, options).await.map_err(super::run::not_run)?;
    let attached = app.attach_run(&name, Cursor::START, true).await?;
    let _ = socket.send(text(&DaemonMessage::Started(name.to_string()))).await;
    Ok(attached)
}

fn text(message: &DaemonMessage) -> Message {
    Message::Text(serde_json::to_string(message).unwrap_or_default().into())
}

/// What a client has sent and the task has not taken yet.
enum Input {
    Bytes(Bytes),
    End,
}

/// Carries everything both ways until the task has ended, or the client has gone.
async fn serve(socket: WebSocket, attached: Attached) {
    let (sink, stream) = socket.split();
    let (sender, queue) = mpsc::channel(QUEUE);
    // Bounded by the window: a client that sends more is disconnected.
    let (input_sender, input_queue) = mpsc::unbounded_channel();
    let unread = Arc::new(AtomicUsize::new(0));
    let writer: Option<Arc<dyn TaskWriter>> = attached.input.map(Arc::from);
    let receiving =
        Receiving { stream, writer: writer.clone(), input: input_sender, unread: Arc::clone(&unread) };
    tokio::select! {
        // The first three end with the connection; the others go on as long as it does.
        () = send_all(sink, queue) => {}
        () = receiving.receive() => {}
        () = ping(sender.clone()) => {}
        never = send_output(attached.output, sender.clone()) => match never {},
        never = write_input(writer, input_queue, unread, sender) => match never {},
    }
}

async fn send_all(mut sink: SplitSink<WebSocket, Message>, mut queue: mpsc::Receiver<Message>) {
    while let Some(message) = queue.recv().await {
        let last = matches!(message, Message::Close(_));
        if sink.send(message).await.is_err() || last {
            return;
        }
    }
}

async fn send_output(mut output: OutputItems, sender: mpsc::Sender<Message>) -> std::convert::Infallible {
    let mut ended = false;
    while let Some(item) = output.next().await {
        let message = match item {
            Ok(item) => match item.item {
                OutputItem::Output(chunk) => {
                    let mut bytes = BytesMut::with_capacity(1 + chunk.bytes.len());
                    bytes.put_u8(if chunk.stream == OutputStream::Stdout { STDOUT } else { STDERR });
                    bytes.put(chunk.bytes);
                    Message::Binary(bytes.freeze())
                }
                OutputItem::Lost { bytes } => text(&DaemonMessage::Lost(bytes)),
                OutputItem::Broken { reason } => text(&DaemonMessage::Broken(reason)),
                OutputItem::Ended { exit } => {
                    ended = true;
                    text(&DaemonMessage::Ended(command::exit(exit)))
                }
            },
            Err(error) => text(&DaemonMessage::Broken(error.to_string())),
        };
        let _ = sender.send(message).await;
    }
    if !ended {
        tracing::warn!("the output of a command ended without its end");
    }
    let _ = sender.send(Message::Close(None)).await;
    std::future::pending().await
}

async fn write_input(
    writer: Option<Arc<dyn TaskWriter>>,
    mut queue: mpsc::UnboundedReceiver<Input>,
    unread: Arc<AtomicUsize>,
    sender: mpsc::Sender<Message>,
) -> std::convert::Infallible {
    while let Some(input) = queue.recv().await {
        let Some(writer) = &writer else { continue };
        let Input::Bytes(bytes) = input else {
            let _ = writer.end().await;
            continue;
        };
        let mut pieces: VecDeque<Bytes> = VecDeque::new();
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            pieces.push_back(rest.split_to(rest.len().min(MAX_CHUNK)));
        }
        while let Some(piece) = pieces.pop_front() {
            // A task that has ended takes nothing more; its end is on its way.
            let _ = writer.write(piece).await;
        }
        unread.fetch_sub(bytes.len(), Ordering::Relaxed);
        let _ = sender.send(text(&DaemonMessage::Room(bytes.len()))).await;
    }
    std::future::pending().await
}

async fn ping(sender: mpsc::Sender<Message>) {
    let mut moments = interval(PING);
    moments.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        moments.tick().await;
        // A full queue is a client that is being written to.
        let _ = sender.try_send(Message::Ping(Bytes::new()));
    }
}

struct Receiving {
    stream: SplitStream<WebSocket>,
    writer: Option<Arc<dyn TaskWriter>>,
    input: mpsc::UnboundedSender<Input>,
    unread: Arc<AtomicUsize>,
}

impl Receiving {
    /// Returns when the client has gone, or does not keep to the rules. Never waits for the task, so that a signal
    /// passes input that nobody reads.
    async fn receive(mut self) {
        while let Ok(Some(Ok(message))) = timeout(SILENCE, self.stream.next()).await {
            match message {
                Message::Binary(bytes) => {
                    let unread = self.unread.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
                    if unread > INPUT_WINDOW || self.input.send(Input::Bytes(bytes)).is_err() {
                        return;
                    }
                }
                Message::Text(text) => {
                    let Ok(message) = serde_json::from_str(&text) else { return };
                    if !self.obey(message).await {
                        return;
                    }
                }
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(_) => return,
            }
        }
    }

    async fn obey(&self, message: ClientMessage) -> bool {
        let Some(writer) = &self.writer else { return false };
        match message {
            ClientMessage::End => return self.input.send(Input::End).is_ok(),
            ClientMessage::Resize(size) => drop(writer.resize(command::size(size)).await),
            ClientMessage::Signal(signal) => drop(writer.signal(command::signal(signal)).await),
            ClientMessage::Start(_) => return false,
        }
        true
    }
}
