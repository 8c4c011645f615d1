//! No request is lost by a rollout: requests at a fixed rate while releases come and go.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

use super::rig::{PYTHON, Rig};

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<String>,
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

/// Sends 200 requests a second, open loop, every other one on a connection of its own, until told to stop.
async fn load(port: u16, stop: Arc<AtomicBool>, counts: Arc<Counts>) {
    let client =
        |idle: usize| reqwest::Client::builder().no_proxy().pool_max_idle_per_host(idle).build().unwrap();
    let clients = [client(64), client(0)];
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    let mut requests = tokio::task::JoinSet::new();
    while !stop.load(Ordering::SeqCst) {
        tick.tick().await;
        let number = counts.sent.fetch_add(1, Ordering::SeqCst);
        let request = clients[usize::from(number % 2 == 1)]
            .get(format!("http://127.0.0.1:{port}/quiet"))
            .header("Host", "hello.localhost")
            .timeout(Duration::from_secs(20));
        let counts = Arc::clone(&counts);
        requests.spawn(async move {
            let answer = async { request.send().await?.error_for_status()?.text().await };
            match answer.await {
                Ok(_) => counts.answered(),
                Err(error) => counts.failed(format!("{error:?}")),
            }
        });
        while requests.try_join_next().is_some() {}
    }
    while requests.join_next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_releases_lose_no_request() {
    deis_daemon::tls::install_provider();
    let rig = tokio::task::spawn_blocking(|| {
        let rig = Rig::new();
        rig.app("hello", PYTHON).git(&["push", "deis", "main"]);
        rig.deis(&["scale", "web=2", "-a", "hello"]);
        rig
    })
    .await
    .unwrap();
    let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
    let running = tokio::spawn(load(rig.http, Arc::clone(&stop), Arc::clone(&counts)));
    let rig = tokio::task::spawn_blocking(move || {
        for release in 0..20 {
            rig.deis(&["config:set", &format!("RELEASE={release}"), "-a", "hello"]);
        }
        rig.deis(&["scale", "web=3", "-a", "hello"]);
        rig.deis(&["restart", "-a", "hello"]);
        rig.deis(&["scale", "web=1", "-a", "hello"]);
        rig
    })
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::SeqCst);
    running.await.unwrap();
    let (sent, failed) = (counts.sent.load(Ordering::SeqCst), counts.failed.load(Ordering::SeqCst));
    println!(
        "20 releases: {sent} requests sent, {failed} failed, longest gap {:?}",
        counts.longest.lock().unwrap()
    );
    assert_eq!(failed, 0, "{}", counts.first_failure.lock().unwrap());
    assert!(sent > 500);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_outlives_a_rollout() {
    use futures_util::{SinkExt as _, StreamExt as _};

    let rig = tokio::task::spawn_blocking(|| {
        let rig = Rig::new();
        rig.app("echo", &[("echo.py", ECHO), ("Procfile", "web: exec python3 echo.py\n")])
            .git(&["push", "deis", "main"]);
        rig
    })
    .await
    .unwrap();
    let mut request = format!("ws://127.0.0.1:{}/", rig.http).into_client_request().unwrap();
    request.headers_mut().insert("host", "echo.localhost".parse().unwrap());
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", rig.http)).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let mut echo = async |text: &str| {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), text);
    };
    echo("before").await;
    let rollout = tokio::task::spawn_blocking(move || {
        rig.deis(&["config:set", "A=1", "-a", "echo"]);
        rig
    });
    // The rollout does not wait for the open websocket.
    let rig =
        tokio::time::timeout(Duration::from_secs(20), rollout).await.expect("the rollout ends").unwrap();
    echo("after the rollout").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    echo("a while after the rollout").await;
    drop(socket);
    tokio::task::spawn_blocking(move || drop(rig)).await.unwrap();
}
