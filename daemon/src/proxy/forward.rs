//! One request on its way to an app: lease, send, and on to another instance where that can neither lose nor double it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::body::Body;
use deis_core::{
    AppUid, RouteMode,
    routing::{Lease, Route},
};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request,
    uri::PathAndQuery,
};
use hyper::{
    body::{Body as _, Incoming},
    upgrade::OnUpgrade,
};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    ProxyOptions, Shared,
    body::{Fault, Held, Patient, Replayable},
    framing::is_plain_answer,
    headers::{forward, strip_hop_by_hop},
    pages::Page,
    tunnel::tunnel,
    upgrade::{self, Upgrade},
    wire::{Connector, Trace},
};
use crate::caps::Place;

/// Connections to apps.
///
/// A kept connection may be closed by the app at the very moment at which a request is written. A request without
/// effect is sent again then, if there was no word of an answer. One with an effect could be done twice, so it always
/// gets a connection of its own.
#[derive(Clone)]
pub(super) struct Upstream {
    kept: Client<Connector, Replayable>,
    fresh: Client<Connector, Replayable>,
}

impl Upstream {
    pub(super) fn new(options: &ProxyOptions) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(options.connect_timeout));
        connector.set_nodelay(true);
        let connector = Connector(connector);
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.idle_upstream)
            .set_host(false)
            .http1_max_buf_size(options.most_head);
        let kept = builder.build(connector.clone());
        let fresh = builder.pool_max_idle_per_host(0).build(connector);
        Self { kept, fresh }
    }
}

/// Instances that one request may be tried on.
const TRIES: usize = 4;

/// Interim answers (1xx) that an app may give before its answer.
const INTERIM: usize = 16;

/// What a request holds until its answer has ended.
type Hold = (Lease, Place<AppUid>);

pub(super) async fn to_app(
    shared: &Shared,
    route: &Route,
    client: SocketAddr,
    stop: &CancellationToken,
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
    // Of all the header, what an error page wants to know.
    let mut accept = HeaderMap::new();
    accept.extend(request.headers().get(header::ACCEPT).cloned().map(|value| (header::ACCEPT, value)));
    match send(shared, route, client, stop, request).await {
        Ok(response) => response,
        Err(page) => page.response(&accept),
    }
}

async fn send(
    shared: &Shared,
    route: &Route,
    client: SocketAddr,
    stop: &CancellationToken,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Page> {
    let upgrade = match upgrade::asked(&request) {
        Upgrade::None => None,
        Upgrade::To(protocols) => {
            request.extensions_mut().remove::<OnUpgrade>().map(|side| (side, protocols))
        }
        Upgrade::Bad => return Err(Page::BadUpgrade),
    };
    let Some(process) = &route.process else { return Err(Page::NoInstance) };
    let place = shared.in_flight.enter(route.app.uid).ok_or(Page::Busy)?;
    let (mut parts, body) = request.into_parts();
    prepare(&mut parts, &body, upgrade.as_ref().map(|(_, protocols)| protocols));
    forward(&mut parts.headers, client, shared.port);
    let harmless = is_harmless(&parts.method) && body.is_end_stream() && upgrade.is_none();
    let body = Replayable::new(Patient::new(body, shared.options.stall_timeout));
    let mut failed = Vec::new();
    loop {
        let Some(lease) = shared.endpoints.lease(route.app.uid, process, &failed) else {
            return Err(if failed.is_empty() { Page::NoInstance } else { Page::BadGateway });
        };
        let flooded = Arc::new(Notify::new());
        let attempt = || attempt(&parts, &lease, &body, &flooded);
        let answer = async {
            if harmless {
                match shared.upstream.kept.request(attempt()).await {
                    Err(error) if Trace::is_silent_end_of_kept(&error) => shared.metrics.retried(),
                    other => return other,
                }
            }
            shared.upstream.fresh.request(attempt()).await
        };
        let answer = tokio::select! {
            answer = answer => answer,
            () = body.rests(shared.options.answer_timeout) => return Err(Page::Timeout),
            () = flooded.notified() => return Err(Page::BadGateway),
        };
        let error = match answer {
            Ok(response) => return answered(shared, response, (lease, place), upgrade, stop),
            Err(error) => error,
        };
        tracing::debug!(app = %route.app.name, instance = %lease.instance(), %error, "an instance gave no answer");
        match body.fault() {
            Some(Fault::Stalled) => return Err(Page::Stalled),
            Some(Fault::Broken) => return Err(Page::BadBody),
            None => {}
        }
        failed.push(lease.instance().clone());
        if !is_unsent(&error, &body) || failed.len() >= TRIES {
            return Err(Page::BadGateway);
        }
        shared.metrics.retried();
    }
}

/// Makes a client's headers an app's.
fn prepare(parts: &mut request::Parts, body: &Incoming, protocols: Option<&HeaderValue>) {
    strip_hop_by_hop(&mut parts.headers);
    if let Some(authority) = parts.uri.authority() {
        // An absolute target names the host; the app must see the same one.
        if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
            parts.headers.insert(header::HOST, host);
        }
    }
    if let Some(protocols) = protocols {
        upgrade::keep(&mut parts.headers, protocols.clone());
    }
    if !body.is_end_stream() && body.size_hint().exact().is_none() {
        // A client library takes a GET without a length for one without a body.
        parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

fn attempt(
    parts: &request::Parts,
    lease: &Lease,
    body: &Replayable,
    flooded: &Arc<Notify>,
) -> Request<Replayable> {
    let mut attempt = Request::new(body.clone());
    *attempt.method_mut() = parts.method.clone();
    *attempt.uri_mut() = target(lease, parts.uri.path_and_query());
    *attempt.version_mut() = Version::HTTP_11;
    *attempt.headers_mut() = parts.headers.clone();
    let (seen, flooded) = (AtomicUsize::new(0), Arc::clone(flooded));
    hyper::ext::on_informational(&mut attempt, move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) >= INTERIM {
            flooded.notify_one();
        }
    });
    attempt
}

/// Whether a request certainly has not reached the instance. Anything else may have been done already – or have killed
/// the instance, as it would the next.
fn is_unsent(error: &Error, body: &Replayable) -> bool {
    error.is_connect() && !body.is_touched()
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
    shared: &Shared,
    mut response: Response<Incoming>,
    hold: Hold,
    upgrade: Option<(OnUpgrade, HeaderValue)>,
    stop: &CancellationToken,
) -> Result<Response<Body>, Page> {
    Trace::answered(response.extensions());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (client, asked) = upgrade.ok_or(Page::BadGateway)?;
        let protocol = upgrade::agreed(response.headers(), &asked).ok_or(Page::BadGateway)?;
        let app = hyper::upgrade::on(&mut response);
        strip_hop_by_hop(response.headers_mut());
        upgrade::keep(response.headers_mut(), protocol);
        shared.tunnels.spawn(tunnel(client, app, shared.options.idle_tunnel, stop.clone(), hold));
        return Ok(response.map(|_| Body::empty()));
    }
    if !is_plain_answer(response.headers()) {
        return Err(Page::BadGateway);
    }
    strip_hop_by_hop(response.headers_mut());
    let (mut parts, body) = response.into_parts();
    parts.version = Version::HTTP_11;
    Ok(Response::from_parts(parts, Body::new(Held::new(body, hold))))
}
