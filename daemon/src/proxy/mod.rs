//! The routing proxy: one listener for the platform and all apps, told apart by host.
//!
//! A client that closes its side of a connection is taken to be gone, as by other proxies: waiting for whoever only
//! half-closes would keep an instance busy for everybody who hangs up.

mod body;
mod client_stream;
mod connection;
mod forward;
mod forwarded;
mod framing;
mod headers;
mod host;
mod last_activity;
mod limits;
mod metrics;
mod options;
mod pages;
mod platform;
mod tunnel;
mod upgrade;
mod upstream;
mod upstream_stream;

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{Router, body::Body};
use deis_core::{
    model::AppUid,
    routing::{Endpoints, RouteTable},
};
use http::{Method, Request, Response, StatusCode};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use forwarded::{BadRange, ClientInfo, Scheme, TrustedProxies};
pub use limits::Bound;
pub use metrics::ProxyMetrics;
pub use options::ProxyOptions;

use crate::{
    acceptor::Acceptor,
    keyed_limit::{KeyedLimit, KeyedPermit},
};
use body::GuardedBody;
use client_stream::ClientStream;
use connection::{RequestGuard, UnreadBody};
use host::{host_of, is_platform};
use limits::{ConnectionLimits, ConnectionPermit, Purpose};
use pages::ErrorPage;
use upstream::Upstream;

/// The proxy. Clones share one.
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    options: Arc<ProxyOptions>,
    http: http1::Builder,
    endpoints: Endpoints,
    routes: Arc<RouteTable>,
    platform: Router,
    upstream: Upstream,
    metrics: Arc<ProxyMetrics>,
    port: u16,
    complete: CancellationToken,
    connections: ConnectionLimits,
    in_flight: KeyedLimit<AppUid>,
    tunnels: TaskTracker,
}

/// What is known of a request besides itself.
struct Asking<'a> {
    client: ClientInfo,
    permit: Arc<ConnectionPermit>,
    /// What the request holds of its client's share, where its connection is a trusted proxy's.
    client_permit: Option<Arc<KeyedPermit<IpAddr>>>,
    unread: UnreadBody,
    stop: &'a CancellationToken,
}

impl Proxy {
    /// A proxy on `port` (as apps are told): the platform's own hosts go to `platform`, all others by `routes` to
    /// `endpoints`. Requests for apps wait until `complete` says that all routes are known: without that, an app could
    /// be told from none.
    pub fn new(
        options: ProxyOptions,
        port: u16,
        endpoints: Endpoints,
        routes: Arc<RouteTable>,
        platform: Router,
        metrics: Arc<ProxyMetrics>,
        complete: CancellationToken,
    ) -> Self {
        let mut http = http1::Builder::new();
        // The head's time limit is the connection's own: the builder's would also end idle connections.
        http.timer(TokioTimer::new()).header_read_timeout(None);
        http.max_buf_size(options.max_head).max_headers(options.max_request_fields);
        Self(Arc::new(Shared {
            http,
            upstream: Upstream::new(&options),
            connections: ConnectionLimits::new(&options),
            in_flight: KeyedLimit::new(options.max_in_flight),
            tunnels: TaskTracker::new(),
            options: Arc::new(options),
            endpoints,
            routes,
            platform,
            metrics,
            port,
            complete,
        }))
    }

    /// Serves connections until it is told to stop; then takes no more, gives requests in flight their time, and ends
    /// what has no end of its own: upgraded connections, and answers of the platform that follow something.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let mut acceptor = Acceptor::new(listener);
        while let Some((stream, client)) = acceptor.next(&stop).await {
            let is_trusted = self.0.options.trusted_proxies.contains(client.ip());
            match self.0.connections.accept(client.ip(), is_trusted) {
                Ok(permit) => {
                    let _ = stream.set_nodelay(true);
                    connections.spawn(self.connection(stream, client, Scheme::Http, permit, stop.clone()));
                }
                Err(bound) => {
                    self.0.metrics.refused(bound);
                    turn_away(&stream, bound);
                }
            }
        }
        // The listener goes before the connections are waited for: a client that comes now is refused by the kernel,
        // and tries the next daemon, and is not accepted by one that ends.
        drop(acceptor);
        connections.close();
        self.0.tunnels.close();
        let ended = async { tokio::join!(connections.wait(), self.0.tunnels.wait()) };
        let _ = tokio::time::timeout(self.0.options.stop_limit, ended).await;
    }

    /// Serves one connection of a client, whatever carries it.
    fn connection<S>(
        &self,
        stream: S,
        client: SocketAddr,
        scheme: Scheme,
        permit: ConnectionPermit,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let shared = Arc::clone(&self.0);
        let permit = Arc::new(permit);
        let (stream, state) = ClientStream::new(stream, &shared.options);
        let (token, held) = (stop.clone(), Arc::clone(&permit));
        let http = shared.http.clone();
        let metrics = Arc::clone(&shared.metrics);
        let service = service_fn(move |request: Request<Incoming>| {
            let guard = state.begin(!request.body().is_end_stream());
            let (shared, stop, permit) = (Arc::clone(&shared), token.clone(), Arc::clone(&held));
            async move {
                let peer = client.ip();
                let known = &shared.options.trusted_proxies;
                let client = ClientInfo::of(request.headers(), peer, scheme, shared.port, known);
                let unread = guard.unread();
                let asking = Asking { client, permit, client_permit: None, unread, stop: &stop };
                let response = answer(&shared, &guard, asking, request).await;
                Ok::<_, Infallible>(hold_guard(response, guard))
            }
        });
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        async move {
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                // Dropped at once, without a word: nothing was asked, so there is nothing to answer.
                () = permit.evicted() => {
                    metrics.refused(Bound::AddressPending);
                    return;
                }
                () = stop.cancelled() => {
                    // Requests in flight are finished; the connection takes none after them.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::trace!(%error, "a connection ended early");
            }
        }
    }
}

/// The connection is ready for the next request when this answer has ended, or never.
fn hold_guard(response: Response<Body>, guard: RequestGuard) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        guard.upgrade();
        return response;
    }
    response.map(|body| Body::new(GuardedBody::new(body, guard)))
}

/// Says no, if that can be said without waiting for a client that has too many connections already.
fn turn_away(stream: &TcpStream, bound: Bound) {
    let text = bound.text();
    // A short text fits into the buffer of a new socket. If it does not, the client has not read before, either.
    let _ = stream.try_write(
        format!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             Connection: close\r\nRetry-After: 5\r\n\r\n{text}\n",
            text.len() + 1
        )
        .as_bytes(),
    );
}

/// The host of a request that can be understood in one way only. The order of these checks is the order of trust: where
/// a message ends comes before whose it is, and nothing is looked up for a request that could be two.
fn checked_host(
    shared: &Shared,
    guard: &RequestGuard,
    request: &Request<Incoming>,
) -> Result<String, ErrorPage> {
    if !framing::is_plain_request(request.headers(), guard.has_length) {
        return Err(ErrorPage::Ambiguous);
    }
    let host = host_of(request).ok_or(ErrorPage::BadHost)?;
    if headers::size(request) > shared.options.max_head {
        return Err(ErrorPage::LargeHead);
    }
    // Only after the host: a client that asks for a tunnel without one is told of the host.
    if request.method() == Method::CONNECT {
        return Err(ErrorPage::NoTunnel);
    }
    Ok(host)
}

async fn answer(
    shared: &Shared,
    guard: &RequestGuard,
    mut asking: Asking<'_>,
    request: Request<Incoming>,
) -> Response<Body> {
    let host = match checked_host(shared, guard, &request) {
        Ok(host) => host,
        // Whoever names no host that could be an app's means the server itself.
        Err(page) => {
            let host = host_of(&request);
            let is_app = host.is_some_and(|host| !is_platform(&host, &shared.options.domain));
            return if is_app { page.response(request.headers()) } else { page.api_response() };
        }
    };
    let is_platform = is_platform(&host, &shared.options.domain);
    let purpose = if is_platform { Purpose::Platform } else { Purpose::Apps };
    match asking.permit.admit(purpose, asking.client.address) {
        Ok(permit) => asking.client_permit = permit.map(Arc::new),
        Err(bound) => {
            shared.metrics.refused(bound);
            return match purpose {
                Purpose::Platform => platform::refuse(bound),
                Purpose::Apps => ErrorPage::Full(bound).response(request.headers()),
            };
        }
    }
    // The connection is counted by now, so whatever this request costs has an owner.
    let response = match purpose {
        Purpose::Platform => platform::answer(shared, &asking, request).await,
        Purpose::Apps => to_app(shared, &host, &asking, request).await,
    };
    match asking.client_permit {
        Some(permit) => response.map(|body| Body::new(GuardedBody::new(body, permit))),
        None => response,
    }
}

async fn to_app(
    shared: &Shared,
    host: &str,
    asking: &Asking<'_>,
    request: Request<Incoming>,
) -> Response<Body> {
    // After a start the routes come in one by one. Until all are there, an unknown host may be an app that is not known
    // yet: its request waits, and is not told that there is none.
    shared.complete.cancelled().await;
    let Some(route) = shared.routes.lookup(host) else {
        return ErrorPage::UnknownHost.response(request.headers());
    };
    let in_flight = shared.metrics.begin();
    let response = forward::to_app(shared, &route, asking, request).await;
    drop(in_flight);
    shared.metrics.answered(response.status());
    response
}
