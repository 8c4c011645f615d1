//! One request on its way to an app: lease, send, and on to another instance where that can neither lose nor double it.

use std::net::SocketAddr;

use axum::body::Body;
use deis_core::{Lease, RouteMode, local::Route};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, uri::PathAndQuery};
use hyper::body::{Body as _, Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};

use super::{
    Shared,
    body::{Leased, Replayable},
    headers::{forward, keep_upgrade, strip_hop_by_hop, upgrade_of},
    pages::Page,
};

/// Connections to apps.
///
/// A kept connection may be closed by the app at the very moment at which a request is written. A request without
/// effect is simply sent again then. One with an effect could be done twice, so it always gets a connection of its own.
#[derive(Clone)]
pub(super) struct Upstream {
    kept: Client<HttpConnector, Replayable>,
    fresh: Client<HttpConnector, Replayable>,
}

impl Upstream {
    pub(super) fn new(options: &super::ProxyOptions) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(options.connect_timeout));
        connector.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(options.idle_upstream).set_host(false);
        let kept = builder.build(connector.clone());
        let fresh = builder.pool_max_idle_per_host(0).build(connector);
        Self { kept, fresh }
    }
}

/// Instances that one request may be tried on.
const TRIES: usize = 4;

pub(super) async fn to_app(
    shared: &Shared,
    route: &Route,
    client: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let page = match route.mode {
        RouteMode::Serve => None,
        RouteMode::Maintenance => Some(Page::Maintenance),
        _ => Some(Page::UnknownHost),
    };
    if let Some(page) = page {
        return page.response(request.headers());
    }
    let accept = request.headers().clone();
    match send(shared, route, client, request).await {
        Ok(response) => response,
        Err(page) => page.response(&accept),
    }
}

async fn send(
    shared: &Shared,
    route: &Route,
    client: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Page> {
    let Some(process) = &route.process else { return Err(Page::NoInstance) };
    let (mut parts, body) = request.into_parts();
    // An upgrade to another version of HTTP would carry requests past this proxy.
    let upgrade = upgrade_of(&parts.headers).filter(|protocol| !protocol.as_bytes().starts_with(b"h2"));
    let client_side = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
    strip_hop_by_hop(&mut parts.headers);
    if let Some(authority) = parts.uri.authority() {
        // An absolute target names the host; the app must see the same one.
        if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
            parts.headers.insert(http::header::HOST, host);
        }
    }
    if let Some(protocol) = upgrade.clone() {
        keep_upgrade(&mut parts.headers, protocol);
    }
    forward(&mut parts.headers, client, shared.port);
    let harmless = is_harmless(&parts.method) && body.is_end_stream() && upgrade.is_none();
    let body = Replayable::new(Body::new(body), shared.options.stall_timeout);
    let mut failed = Vec::new();
    loop {
        let Some(lease) = shared.endpoints.lease(&route.app, process, &failed) else {
            return Err(if failed.is_empty() { Page::NoInstance } else { Page::BadGateway });
        };
        let attempt = || {
            let mut attempt = Request::new(body.clone());
            *attempt.method_mut() = parts.method.clone();
            *attempt.uri_mut() = target(&lease, parts.uri.path_and_query());
            *attempt.version_mut() = Version::HTTP_11;
            *attempt.headers_mut() = parts.headers.clone();
            attempt
        };
        let answer = async {
            if harmless {
                match shared.upstream.kept.request(attempt()).await {
                    // The app closed a kept connection under the request: the same app on a fresh one.
                    Err(error) if !error.is_connect() => shared.metrics.retried(),
                    other => return other,
                }
            }
            shared.upstream.fresh.request(attempt()).await
        };
        match tokio::time::timeout(shared.options.answer_timeout, answer).await {
            Err(_) => return Err(Page::Timeout),
            Ok(Ok(response)) => return Ok(answered(response, lease, client_side, upgrade)),
            Ok(Err(error)) => {
                tracing::debug!(app = %route.app, instance = %lease.instance(), %error, "an instance gave no answer");
                if body.is_stalled() {
                    return Err(Page::Stalled);
                }
                failed.push(lease.instance().clone());
                let unsent = error.is_connect() && !body.is_touched();
                if !(unsent || harmless) || failed.len() >= TRIES {
                    return Err(Page::BadGateway);
                }
                shared.metrics.retried();
            }
        }
    }
}

/// Methods that change nothing, so that sending them again is harmless.
fn is_harmless(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

fn target(lease: &Lease, path: Option<&PathAndQuery>) -> Uri {
    let path = path.cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    Uri::builder()
        .scheme("http")
        .authority(lease.address().to_string())
        .path_and_query(path)
        .build()
        .expect("an address and a path that came in a request are a valid URI")
}

fn answered(
    mut response: Response<Incoming>,
    lease: Lease,
    client: Option<hyper::upgrade::OnUpgrade>,
    asked: Option<HeaderValue>,
) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let protocol = response.headers().get(http::header::UPGRADE).cloned().or(asked);
        let app = hyper::upgrade::on(&mut response);
        strip_hop_by_hop(response.headers_mut());
        let Some((client, protocol)) = client.zip(protocol) else {
            return Page::BadGateway.response(&http::HeaderMap::new());
        };
        keep_upgrade(response.headers_mut(), protocol);
        tokio::spawn(tunnel(client, app, lease));
        return response.map(|_| Body::empty());
    }
    strip_hop_by_hop(response.headers_mut());
    let (mut parts, body) = response.into_parts();
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Body::new(Leased::new(body, lease)))
}

/// Carries an upgraded connection both ways until either side ends it; the instance is leased as long.
async fn tunnel(client: hyper::upgrade::OnUpgrade, app: hyper::upgrade::OnUpgrade, lease: Lease) {
    let (Ok(client), Ok(app)) = tokio::join!(client, app) else { return };
    let (mut client, mut app) = (TokioIo::new(client), TokioIo::new(app));
    // An error is the end of the connection, of which both sides know.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut app).await;
    drop(lease);
}
