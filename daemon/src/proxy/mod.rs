//! The routing proxy: one listener for the platform and all apps, told apart by host.

mod body;
mod forward;
mod headers;
mod host;
mod metrics;
mod options;
mod pages;

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::{Router, body::Body};
use deis_core::{Endpoints, local::RouteTable};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service as _;

pub use metrics::ProxyMetrics;
pub use options::ProxyOptions;

use forward::Upstream;
use host::{host_of, is_platform};
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
        let upstream = Upstream::new(&options);
        Self(Arc::new(Shared { options, endpoints, routes, platform, upstream, metrics, port, complete }))
    }

    /// Serves connections until it is told to stop; then takes no more, and gives those in flight their time.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.0.options.head_timeout)
            .max_buf_size(self.0.options.most_head);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let (stream, client) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors: those in use come back, so a pause is better than an end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            };
            connections.spawn(self.connection(&http, stream, client, stop.clone()));
        }
        drop(listener);
        connections.close();
        let _ = tokio::time::timeout(self.0.options.stop_limit, connections.wait()).await;
    }

    fn connection(
        &self,
        http: &http1::Builder,
        stream: TcpStream,
        client: SocketAddr,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&self.0);
        // A client that does not read what it asked for would hold an instance for good.
        let mut stream = Box::pin(TimeoutStream::new(stream));
        stream.as_mut().set_write_timeout_pinned(Some(shared.options.stall_timeout));
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(answer(&shared, client, request).await) }
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
        }
    }
}

async fn answer(shared: &Shared, client: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let Some(host) = host_of(&request) else { return Page::BadHost.response(request.headers()) };
    if headers::size(&request) > shared.options.most_head {
        return Page::LargeHead.response(request.headers());
    }
    if request.method() == http::Method::CONNECT {
        return Page::NoTunnel.response(request.headers());
    }
    if is_platform(&host, &shared.options.domain) {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ClientAddress(client));
        let mut platform = shared.platform.clone();
        return match platform.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
    }
    shared.complete.cancelled().await;
    let Some(route) = shared.routes.lookup(&host) else {
        return Page::UnknownHost.response(request.headers());
    };
    let in_flight = shared.metrics.begin();
    let response = forward::to_app(shared, &route, client, request).await;
    drop(in_flight);
    shared.metrics.answered(response.status());
    response
}
