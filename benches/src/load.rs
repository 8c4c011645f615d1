//! The load generator: connections that are kept, one request after the other on each.

use std::{
    cell::Cell,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, client::conn::http1::SendRequest, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Result;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: Method,
    path: String,
    body: Bytes,
}

impl Request {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: Bytes::new() }
    }

    pub(crate) fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, path: path.into(), body: body.into() }
    }
}

/// What a window of time brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// How long each operation took, sorted.
    pub(crate) took: Vec<Duration>,
    /// How long they took together.
    pub(crate) window: Duration,
    /// Processor time of whoever did them.
    pub(crate) cpu: Duration,
}

impl Sample {
    pub(crate) fn per_second(&self) -> f64 {
        count(self.took.len()) / self.window.as_secs_f64()
    }

    /// The time that this share of the operations did not exceed, in milliseconds.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        let place = (count(self.took.len()) * share) as usize;
        let last = self.took.len().saturating_sub(1);
        self.took.get(place.min(last)).map_or(f64::NAN, |took| took.as_secs_f64() * 1000.0)
    }

    /// Processor time of one operation, in microseconds.
    pub(crate) fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count(self.took.len())
    }
}

#[allow(clippy::cast_precision_loss, reason = "no count here has more than 52 bits")]
fn count(n: usize) -> f64 {
    n as f64
}

/// Somebody who has registered.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    token: String,
}

impl Client {
    /// Registers the first user and logs in.
    pub(crate) async fn register(address: SocketAddr) -> Result<Self> {
        let mut client = Self { address, token: String::new() };
        let user = r#"{"username":"bench","password":"bench-password","email":"bench@example.com"}"#;
        client.json(&Request::post("/v2/auth/register/", user)).await?;
        let login = r#"{"username":"bench","password":"bench-password"}"#;
        let answer = client.json(&Request::post("/v2/auth/login/", login)).await?;
        answer["token"].as_str().ok_or("no token was given")?.clone_into(&mut client.token);
        Ok(client)
    }

    /// One request, and its answer.
    pub(crate) async fn json(&self, request: &Request) -> Result<serde_json::Value> {
        let mut connection = Connection::open(self.address).await?;
        Ok(serde_json::from_slice(&connection.send(self, request).await?)?)
    }

    /// So many requests, at most `clients` at once; all must succeed.
    pub(crate) async fn each(
        &self,
        clients: usize,
        requests: usize,
        request: impl Fn(usize) -> Request,
    ) -> Result<()> {
        let (next, request) = (&Cell::new(0), &request);
        let work = (0..clients).map(|_| async move {
            let mut connection = Connection::open(self.address).await?;
            loop {
                let n = next.replace(next.get() + 1);
                if n >= requests {
                    return Ok(());
                }
                connection.send(self, &request(n)).await?;
            }
        });
        all(work).await.into_iter().collect()
    }

    /// As many requests as a window of time takes; all must succeed.
    pub(crate) async fn load(
        &self,
        clients: usize,
        window: Duration,
        request: impl Fn(usize) -> Request,
    ) -> Result<Sample> {
        let (begun, request) = (Instant::now(), &request);
        let work = (0..clients).map(|client| async move {
            let mut connection = Connection::open(self.address).await?;
            let mut took = Vec::new();
            while begun.elapsed() < window {
                let request = request(client);
                let sent = Instant::now();
                connection.send(self, &request).await?;
                took.push(sent.elapsed());
            }
            Result::Ok(took)
        });
        let mut took = Vec::new();
        for part in all(work).await {
            took.extend(part?);
        }
        took.sort_unstable();
        Ok(Sample { took, window: begun.elapsed(), cpu: Duration::ZERO })
    }
}

/// Drives all at once, on this thread.
async fn all<F: Future>(work: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut work: Vec<_> = work.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = work.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in work.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(output) = future.as_mut().poll(context) {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// A connection that is kept.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: format!("localhost:{}", address.port()) })
    }

    async fn send(&mut self, client: &Client, request: &Request) -> Result<Bytes> {
        let mut sent = hyper::Request::builder()
            .method(request.method.clone())
            .uri(&*request.path)
            .header(header::HOST, &*self.host);
        if !client.token.is_empty() {
            sent = sent.header(header::AUTHORIZATION, format!("token {}", client.token));
        }
        if request.method == Method::POST {
            sent = sent.header(header::CONTENT_TYPE, "application/json");
        }
        let sent = sent.body(Full::new(request.body.clone()))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(sent).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body);
            return Err(format!("{} {}: {status} {text}", request.method, request.path).into());
        }
        Ok(body)
    }
}
