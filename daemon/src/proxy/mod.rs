//! The routing proxy: one listener for the platform and all apps, told apart by host.
//!
//! A client that closes its side of a connection is taken to be gone, as by other proxies: waiting for whoever only
//! half-closes would keep an instance busy for everybody who hangs up.

mod body;
mod forward;
mod framing;
mod headers;
mod host;
mod intake;
mod metrics;
mod moved;
mod options;
mod pages;
mod tunnel;
mod upgrade;
mod wire;

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{Router, body::Body};
use deis_core::{
    AppUid,
    routing::{Endpoints, RouteTable},
};
use futures_util::StreamExt as _;
use http::{Method, Request, Response, StatusCode};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service as _;

pub use metrics::ProxyMetrics;
pub use options::ProxyOptions;

use crate::{
    acceptor::Acceptor,
    caps::{Caps, Place},
};
use body::{Held, Patient};
use forward::Upstream;
use host::{host_of, is_platform};
use intake::{Intake, Turn};
use pages::Page;

/// The proxy. Clones share one.
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    options: ProxyOptions,
    endpoints: Endpoints,
    routes: Arc<RouteTable>,
    platform: Router,
    upstream: Upstream,
    metrics: Arc<ProxyMetrics>,
    port: u16,
    complete: CancellationToken,
    connections: Caps<IpAddr>,
    in_flight: Caps<AppUid>,
    tunnels: TaskTracker,
}

/// Who sent a request, for the platform's handlers.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub SocketAddr);

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
        Self(Arc::new(Shared {
            upstream: Upstream::new(&options),
            connections: Caps::new(options.most_connections),
            in_flight: Caps::new(options.most_in_flight),
            tunnels: TaskTracker::new(),
            options,
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
        let mut http = http1::Builder::new();
        // The head's time limit is the connection's own: the builder's would also end idle connections.
        http.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(self.0.options.most_head);
        let mut acceptor = Acceptor::new(listener);
        while let Some((stream, client)) = acceptor.next(&stop).await {
            match self.0.connections.enter(client.ip().to_canonical()) {
                Some(place) => {
                    connections.spawn(self.connection(&http, stream, client, stop.clone(), place));
                }
                None => turn_away(&stream),
            }
        }
        drop(acceptor);
        connections.close();
        self.0.tunnels.close();
        let ended = async { tokio::join!(connections.wait(), self.0.tunnels.wait()) };
        let _ = tokio::time::timeout(self.0.options.stop_limit, ended).await;
    }

    fn connection(
        &self,
        http: &http1::Builder,
        stream: TcpStream,
        client: SocketAddr,
        stop: CancellationToken,
        place: Place<IpAddr>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&self.0);
        let (stream, clock) = Intake::new(stream, &shared.options);
        let token = stop.clone();
        let service = service_fn(move |request| {
            let (shared, turn, stop) = (Arc::clone(&shared), clock.begin(), token.clone());
            async move {
                let response = answer(&shared, client, &turn, &stop, request).await;
                Ok::<_, Infallible>(hold_turn(response, turn))
            }
        });
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        async move {
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::trace!(%error, "a connection ended early");
            }
            drop(place);
        }
    }
}

/// The next request's turn comes when this answer has ended, or never.
fn hold_turn(response: Response<Body>, turn: Turn) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        turn.upgrade();
        return response;
    }
    response.map(|body| Body::new(Held::new(body, turn)))
}

/// Says no, if that can be said without waiting for a client that has too many connections already.
fn turn_away(stream: &TcpStream) {
    let _ = stream.try_write(
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: 5\r\n\r\n",
    );
}

async fn answer(
    shared: &Shared,
    client: SocketAddr,
    turn: &Turn,
    stop: &CancellationToken,
    request: Request<Incoming>,
) -> Response<Body> {
    if !framing::is_plain_request(request.headers(), turn.has_length) {
        return Page::Ambiguous.response(request.headers());
    }
    let Some(host) = host_of(&request) else { return Page::BadHost.response(request.headers()) };
    if headers::size(&request) > shared.options.most_head {
        return Page::LargeHead.response(request.headers());
    }
    if request.method() == Method::CONNECT {
        return Page::NoTunnel.response(request.headers());
    }
    if is_platform(&host, &shared.options.domain) {
        return to_platform(shared, client, stop, request).await;
    }
    shared.complete.cancelled().await;
    let Some(route) = shared.routes.lookup(&host) else {
        return Page::UnknownHost.response(request.headers());
    };
    let in_flight = shared.metrics.begin();
    let response = forward::to_app(shared, &route, client, stop, request).await;
    drop(in_flight);
    shared.metrics.answered(response.status());
    response
}

async fn to_platform(
    shared: &Shared,
    client: SocketAddr,
    stop: &CancellationToken,
    request: Request<Incoming>,
) -> Response<Body> {
    let is_get = request.method() == Method::GET;
    let mut request = request.map(|body| Body::new(Patient::new(body, shared.options.stall_timeout)));
    request.extensions_mut().insert(ClientAddress(client));
    let response = match shared.platform.clone().call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    // Whoever only reads can ask again, and whoever follows something would be followed for ever.
    if is_get && response.body().size_hint().exact().is_none() {
        let stop = stop.clone().cancelled_owned();
        return response.map(|body| Body::from_stream(body.into_data_stream().take_until(stop)));
    }
    response
}
