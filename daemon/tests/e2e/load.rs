//! No request is lost by a rollout: requests at a fixed rate while releases come and go.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

use super::test_platform::TestPlatform;

/// Between two requests: 200 a second.
const EVERY: Duration = Duration::from_millis(5);

/// Answers at once, or after two seconds, or with what was sent.
const SHOP: &str = r#"
import os, signal, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(2)
        self.answer(b"ok")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_request(self, *_):
        pass

class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

server = Server(("0.0.0.0", int(os.environ["PORT"])), Shop)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever(poll_interval=0.05)
"#;

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) sent: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) first_failure: Mutex<String>,
    last: Mutex<Option<Instant>>,
    longest: Mutex<Duration>,
}

impl Counts {
    fn answered(&self) {
        let now = Instant::now();
        if let Some(last) = self.last.lock().unwrap().replace(now) {
            let mut longest = self.longest.lock().unwrap();
            *longest = (*longest).max(now - last);
        }
    }

    fn failed(&self, why: String) {
        self.failed.fetch_add(1, Ordering::SeqCst);
        let mut first = self.first_failure.lock().unwrap();
        if first.is_empty() {
            *first = why;
        }
    }
}

type Connection = SendRequest<Full<Bytes>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is sent where.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) port: u16,
    pub(crate) host: &'static str,
    /// Between two requests.
    pub(crate) every: Duration,
    /// Whether three in ten are writes.
    pub(crate) writes: bool,
}

/// A client that tries nothing again: what fails is lost.
#[derive(Clone)]
struct Client {
    load: Load,
    kept: Arc<Mutex<VecDeque<Connection>>>,
}

impl Client {
    async fn ask(&self, number: u64) -> Result<(), BoxError> {
        let is_kept = (number + number / 10).is_multiple_of(2);
        let (method, path, body, wanted) = match number % 10 {
            6..=8 if self.load.writes => ("POST", "/", format!("order {number}"), format!("order {number}")),
            0..=8 => ("GET", "/", String::new(), "ok".to_owned()),
            _ => ("GET", "/slow", String::new(), "ok".to_owned()),
        };
        let mut connection = match self.reuse(is_kept) {
            Some(connection) => connection,
            None => connect(self.load.port).await?,
        };
        let request = Request::builder().method(method).uri(path).header("host", self.load.host);
        let response = connection.send_request(request.body(Full::from(body))?).await?;
        let status = response.status();
        let got = response.into_body().collect().await?.to_bytes();
        if status != 200 || got != wanted.as_bytes() {
            return Err(format!("{method} {path}: {status} {got:?}").into());
        }
        if is_kept {
            self.kept.lock().unwrap().push_back(connection);
        }
        Ok(())
    }

    fn reuse(&self, is_kept: bool) -> Option<Connection> {
        let mut kept = self.kept.lock().unwrap();
        while let Some(connection) = is_kept.then(|| kept.pop_front()).flatten() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }
}

async fn connect(port: u16) -> Result<Connection, BoxError> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Sends requests, open loop, until told to stop: reads, writes and slow ones, every other on a connection of its own.
pub(crate) async fn load(load: Load, stop: Arc<AtomicBool>, counts: Arc<Counts>) {
    let client = Client { load, kept: Arc::default() };
    let mut tick = tokio::time::interval(load.every);
    let mut requests = JoinSet::new();
    while !stop.load(Ordering::SeqCst) {
        tick.tick().await;
        let number = counts.sent.fetch_add(1, Ordering::SeqCst);
        let (client, counts) = (client.clone(), Arc::clone(&counts));
        requests.spawn(async move {
            match tokio::time::timeout(Duration::from_secs(30), client.ask(number)).await {
                Ok(Ok(())) => counts.answered(),
                Ok(Err(error)) => counts.failed(format!("request {number}: {error:?}")),
                Err(_) => counts.failed(format!("request {number}: no answer")),
            }
        });
        while requests.try_join_next().is_some() {}
    }
    while requests.join_next().await.is_some() {}
}

/// A platform with this app, scaled to three instances.
async fn rig_with(app: &'static str, code: &'static str) -> TestPlatform {
    let made = tokio::task::spawn_blocking(move || {
        let rig = TestPlatform::new();
        rig.app(app, &[("app.py", code), ("Procfile", "web: exec python3 app.py\n")])
            .git(&["push", "deis", "main"]);
        rig.deis(&["scale", "web=3", "-a", app]);
        rig
    });
    made.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_releases_lose_no_request() {
    let rig = rig_with("shop", SHOP).await;
    let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
    let began = Instant::now();
    let orders = Load { port: rig.http, host: "shop.localhost", every: EVERY, writes: true };
    let running = tokio::spawn(load(orders, Arc::clone(&stop), Arc::clone(&counts)));
    let rig = tokio::task::spawn_blocking(move || {
        for release in 0..20 {
            rig.deis(&["config:set", &format!("RELEASE={release}"), "-a", "shop"]);
        }
        rig.deis(&["rollback", "-a", "shop"]);
        rig.deis(&["scale", "web=4", "-a", "shop"]);
        rig.deis(&["restart", "-a", "shop"]);
        rig.deis(&["scale", "web=1", "-a", "shop"]);
        rig
    })
    .await
    .unwrap();
    // What was let go last is drained under load, too.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let took = began.elapsed();
    stop.store(true, Ordering::SeqCst);
    running.await.unwrap();
    let (sent, failed) = (counts.sent.load(Ordering::SeqCst), counts.failed.load(Ordering::SeqCst));
    println!(
        "20 releases in {took:?}: {sent} requests sent, {failed} failed, longest gap {:?}",
        counts.longest.lock().unwrap()
    );
    assert_eq!(failed, 0, "{}", counts.first_failure.lock().unwrap());
    let due = took.as_millis() / EVERY.as_millis();
    assert!(u128::from(sent) * 10 >= due * 9, "{sent} of {due} requests were sent: this was no open loop");
    tokio::task::spawn_blocking(move || drop(rig)).await.unwrap();
}

const ECHO: &str = r#"
import base64, hashlib, os, signal, socketserver, sys, threading

class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        key = None
        while (line := self.rfile.readline().strip()):
            if line.lower().startswith(b"sec-websocket-key:"):
                key = line.split(b":")[1].strip()
        if key is None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            return
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        while (head := self.rfile.read(2)):
            size = head[1] & 127
            mask = self.rfile.read(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(size)))
            if head[0] & 15 == 8:
                return
            self.wfile.write(bytes([0x81, len(data)]) + data)

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

server = Server(("0.0.0.0", int(os.environ["PORT"])), Echo)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
server.serve_forever()
"#;

/// Talks on a websocket until it is closed; says when that was.
async fn talk(port: u16, opened: tokio::sync::mpsc::Sender<()>) -> Instant {
    let mut request = format!("ws://127.0.0.1:{port}/").into_client_request().unwrap();
    request.headers_mut().insert("host", "echo.localhost".parse().unwrap());
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    for number in 0_u64.. {
        let text = format!("message {number}");
        if socket.send(Message::text(&text)).await.is_err() {
            break;
        }
        let Some(Ok(Message::Text(back))) = socket.next().await else { break };
        assert_eq!(back.as_str(), text);
        if number == 0 {
            opened.send(()).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Instant::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_outlive_a_rollout_until_the_drain_limit() {
    const SOCKETS: usize = 9;
    let rig = rig_with("echo", ECHO).await;
    let (opened, mut open) = tokio::sync::mpsc::channel(SOCKETS);
    let mut sockets = JoinSet::new();
    for _ in 0..SOCKETS {
        sockets.spawn(talk(rig.http, opened.clone()));
    }
    for _ in 0..SOCKETS {
        open.recv().await.unwrap();
    }
    let began = Instant::now();
    let rollout = tokio::task::spawn_blocking(move || {
        rig.deis(&["config:set", "A=1", "-a", "echo"]);
        rig
    });
    let rig = rollout.await.unwrap();
    println!("with {SOCKETS} open websockets the rollout took {:?}", began.elapsed());
    assert!(sockets.try_join_next().is_none(), "the rollout waits for no websocket and closes none");
    while let Some(closed) = sockets.join_next().await {
        let lived = closed.unwrap() - began;
        println!("a websocket lived for {lived:?} of its release's rollout");
        assert!(lived >= deis_core::plan::constants::DRAIN_LIMIT, "a websocket was closed after {lived:?}");
    }
    tokio::task::spawn_blocking(move || drop(rig)).await.unwrap();
}
