//! Commands as pipes: their input, output, signals and end on a websocket.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{
        State,
        ws::{Message, WebSocket},
    },
    http::Response,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use deis_client::attach::{ClientMessage, DaemonMessage, STDERR, STDOUT, StartRun};
use deis_core::{
    AppHandle, AppName, Kind, Username,
    model::TaskInput,
    port::{Attached, Cursor, OutputItem, OutputItems, OutputStream, TaskWriter},
    service::RunOptions,
};
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    ApiState,
    auth::Caller,
    error::{ApiError, Result},
    json,
    pending_input::PendingInput,
    runs,
    url::{Query, Segments},
    websocket::{self, Asked, LINGER, SILENCE, text},
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
            Exhausted::Total => ApiError::Service {
                code: "total_attachments",
                text: "Too many commands are attached to right now; try again later.".to_owned(),
            },
        })
    }
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
    asked: Asked,
) -> Result<Response<Body>> {
    let app = app_of(&caller, &path).await?;
    let upgrade = asked.accept()?;
    let permit = state.attachments.enter(&caller.user.name)?;
    Ok(upgrade.on_upgrade(move |mut socket| async move {
        match begin(&app, &mut socket).await {
            Ok(attached) => serve(socket, attached).await,
            Err(error) => {
                let (status, code, detail) = error.into_message();
                websocket::part(socket, &DaemonMessage::Refused { status, code, detail }).await;
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
    asked: Asked,
) -> Result<Response<Body>> {
    let app = app_of(&caller, &path).await?;
    let name = runs::name_of(&path)?;
    let upgrade = asked.accept()?;
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
        return Err(ApiError::Bad(FIRST.to_owned()));
    };
    let start = first_message(&first)?;
    let input = start.terminal.map_or(TaskInput::Open, |size| TaskInput::Terminal(command::size(size)));
    let options = RunOptions { env: runs::variables(&start)?, ..RunOptions::attached(input) };
    let name = app.start_run(&start.command, options).await.map_err(super::run::not_run)?;
    match app.attach_run(&name, Cursor::START, true).await {
        Ok(attached) => {
            let _ = socket.send(text(&DaemonMessage::Started(name.to_string()))).await;
            Ok(attached)
        }
        Err(error) => {
            // Nobody would ever see what it does.
            let _ = app.stop_run(&name).await;
            Err(error.into())
        }
    }
}

/// What a first message must be.
const FIRST: &str = "The first message says what to run.";

fn first_message(text: &str) -> Result<StartRun> {
    let value = json::parse(text.as_bytes());
    match value.map_err(|error| ApiError::Bad(format!("{FIRST} {error}")))? {
        Value::Object(mut message) => match message.remove("start") {
            Some(Value::Object(members)) => runs::start_of(&members),
            _ => Err(ApiError::field("start", "Expected an object with the command.")),
        },
        _ => Err(ApiError::Bad(FIRST.to_owned())),
    }
}

/// Carries everything both ways until the task has ended, or the client has gone.
async fn serve(socket: WebSocket, attached: Attached) {
    let (sink, stream) = socket.split();
    let (sender, queue) = mpsc::channel(QUEUE);
    let input = Arc::new(PendingInput::default());
    let writer: Option<Arc<dyn TaskWriter>> = attached.input.map(Arc::from);
    let receiving = Receiving { stream, writer: writer.clone(), input: Arc::clone(&input) }.receive();
    tokio::pin!(receiving);
    let has_ended = tokio::select! {
        // The first three end with the connection; the others go on as long as it does.
        sent = send_all(sink, queue) => sent,
        () = &mut receiving => false,
        () = ping(sender.clone()) => false,
        never = send_output(attached.output, sender.clone()) => match never {},
        never = write_input(writer, &input, sender) => match never {},
    };
    if has_ended {
        // Until the client has read everything it sends: see `websocket::part`.
        input.discard();
        let _ = timeout(LINGER, receiving).await;
    }
}

/// Sends what is queued up to the end of the conversation; `false` if the connection ended before.
async fn send_all(mut sink: SplitSink<WebSocket, Message>, mut queue: mpsc::Receiver<Message>) -> bool {
    while let Some(message) = queue.recv().await {
        let last = matches!(message, Message::Close(_));
        if sink.send(message).await.is_err() {
            return false;
        }
        if last {
            return true;
        }
    }
    false
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
    input: &PendingInput,
    sender: mpsc::Sender<Message>,
) -> std::convert::Infallible {
    let Some(writer) = writer else { return std::future::pending().await };
    while let Some(piece) = input.next().await {
        let size = piece.len();
        // A task that has ended takes nothing more; its end is on its way.
        let _ = writer.write(piece).await;
        input.taken();
        let _ = sender.send(text(&DaemonMessage::Room(size))).await;
    }
    let _ = writer.end().await;
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
    input: Arc<PendingInput>,
}

impl Receiving {
    /// Returns when the client has gone, or does not keep to the rules. Never waits for the task, so that a signal
    /// passes input that nobody reads.
    async fn receive(mut self) {
        while let Ok(Some(Ok(message))) = timeout(SILENCE, self.stream.next()).await {
            let goes_on = match message {
                Message::Binary(bytes) => self.writer.is_some() && self.input.push(&bytes),
                Message::Text(text) => match serde_json::from_str(&text) {
                    Ok(message) => self.obey(message).await,
                    Err(_) => false,
                },
                Message::Ping(_) | Message::Pong(_) => true,
                Message::Close(_) => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    async fn obey(&self, message: ClientMessage) -> bool {
        let Some(writer) = &self.writer else { return false };
        match message {
            ClientMessage::End => return self.input.end(),
            ClientMessage::Resize(size) => drop(writer.resize(command::size(size)).await),
            ClientMessage::Signal(signal) => drop(writer.signal(command::signal(signal)).await),
            ClientMessage::Start(_) => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_message_says_each_thing_once_and_by_name() {
        let said =
            |text: &str| first_message(text).map(|start| start.command).map_err(|e| e.into_message().2);
        let whole = r#"{"start":{"command":"ls","env":{"A":"1"},"terminal":{"columns":80,"rows":24}}}"#;
        assert_eq!(said(whole).unwrap(), "ls");
        assert_eq!(said(r#"{"start":{"command":"ls","env":null,"terminal":null}}"#).unwrap(), "ls");
        let many: Vec<String> = (0..1001).map(|n| format!("\"V{n}\":\"\"")).collect();
        let many = format!(r#"{{"start":{{"command":"ls","env":{{{}}}}}}}"#, many.join(","));
        for (text, reason) in [
            (r#"{"start":{"command":"ls","env":{"A":"1","A":"2"}}}"#, "duplicate key \"A\""),
            (r#"{"start":["ls",{},null]}"#, "start: Expected an object"),
            (r#"{"start":{"command":"ls","terminal":[80,24]}}"#, "terminal: Expected an object"),
            (r#"{"start":{"command":"ls","terminal":{"columns":80}}}"#, "terminal: rows"),
            (r#"{"start":{"command":"ls","terminal":{"columns":80,"rows":70000}}}"#, "terminal: rows"),
            (r#"{"start":{"command":7}}"#, "command: Not a valid string"),
            (r#"{"start":{}}"#, "command: This field is required"),
            (r#"{"start":{"command":"ls","env":["A=1"]}}"#, "env: Expected an object"),
            (r#"{"start":{"command":"ls","env":{"A":1}}}"#, "env: A is not a valid string"),
            (&many, "more than 1000 members"),
            (r#""end""#, FIRST),
        ] {
            let refusal = said(text).unwrap_err();
            assert!(refusal.contains(reason), "{text:.80}: {refusal}");
        }
    }
}
