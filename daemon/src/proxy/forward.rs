//! One request on its way to an app: lease, send, and on to another instance where that can neither lose nor double it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::body::Body;
use deis_core::{
    model::{AppUid, RouteMode},
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
use hyper_util::client::legacy::Error;
use tokio::sync::Notify;

use super::{
    Asking, Bound, Shared,
    body::{AnswerGuard, Fault, GuardedBody, StallTimeoutBody, Upload, UploadBody},
    framing::is_plain_answer,
    headers::{answer_size, strip_hop_by_hop, tell_client},
    pages::ErrorPage,
    tunnel::tunnel,
    upgrade::{self, Upgrade},
    upstream_stream::ConnectionTrace,
};
use crate::keyed_limit::KeyedPermit;

/// Instances that one request may be tried on.
const TRIES: usize = 4;

/// Interim answers (1xx) that an app may give before its answer.
const INTERIM: usize = 16;

/// What a request holds until its answer has ended.
///
/// The fields are dropped in this order. The lease comes last, because the instance may be stopped as soon as it is
/// given back: until then everything else that belongs to the request is over.
struct Hold {
    _answer: AnswerGuard,
    _in_flight: KeyedPermit<AppUid>,
    _lease: Lease,
}

/// Sends a request to an app, and gives back its answer, or a page that says why there is none.
pub(super) async fn to_app(
    shared: &Shared,
    route: &Route,
    asking: &Asking<'_>,
    request: Request<Incoming>,
) -> Response<Body> {
    let page = match route.mode {
        RouteMode::Serve => None,
        RouteMode::Maintenance => Some(ErrorPage::Maintenance),
        _ => Some(ErrorPage::UnknownHost),
    };
    if let Some(page) = page {
        return page.response(request.headers());
    }
    // Of all the header, what an error page wants to know.
    let mut accept = HeaderMap::new();
    accept.extend(request.headers().get(header::ACCEPT).cloned().map(|value| (header::ACCEPT, value)));
    match send(shared, route, asking, request).await {
        Ok(response) => response,
        Err(page) => page.response(&accept),
    }
}

async fn send(
    shared: &Shared,
    route: &Route,
    asking: &Asking<'_>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, ErrorPage> {
    // The right to take over the client's connection is taken out before the request is taken apart: only a request
    // that is answered with 101 uses it, and it must not live on in a request that is sent again.
    let upgrade = match upgrade::asked(&request) {
        Upgrade::None => None,
        Upgrade::To(protocols) => {
            request.extensions_mut().remove::<OnUpgrade>().map(|side| (side, protocols))
        }
        Upgrade::Bad => return Err(ErrorPage::BadUpgrade),
    };
    let Some(process) = &route.process else { return Err(ErrorPage::NoInstance) };
    // Counted before an instance is chosen, so that an app whose instances are slow cannot pile up requests that wait
    // for a lease.
    let in_flight = shared.in_flight.enter(route.app.uid).map_err(|_| {
        shared.metrics.refused(Bound::AppInFlight);
        ErrorPage::Full(Bound::AppInFlight)
    })?;
    let (mut parts, body) = request.into_parts();
    prepare(&mut parts, &body, upgrade.as_ref().map(|(_, protocols)| protocols));
    tell_client(&mut parts.headers, &asking.client);
    // A body can be sent once only, and an upgrade changes the connection: neither is ever sent again after bytes of it
    // may have arrived. What remains is a safe request without a body, whose second arrival changes nothing.
    let may_be_repeated = is_safe(&parts.method) && body.is_end_stream() && upgrade.is_none();
    let upload =
        Upload::new(StallTimeoutBody::new(body, shared.options.stall_timeout, asking.unread.clone()));
    let mut failed = Vec::new();
    loop {
        // The lease is taken before anything is sent. The scheduler stops an instance only once it has no lease, so
        // from here on the instance lives until the answer has ended, also when a rollout takes it out of the table
        // now.
        let Some(lease) = shared.endpoints.lease(route.app.uid, process, &failed) else {
            return Err(if failed.is_empty() { ErrorPage::NoInstance } else { ErrorPage::BadGateway });
        };
        let flooded = Arc::new(Notify::new());
        let attempt = || attempt(&parts, &lease, &upload, &flooded);
        let answer = async {
            let clients = shared.upstream.clients(&lease);
            if may_be_repeated {
                // The one error after which the same instance is asked again: the app closed a kept connection at the
                // moment at which it was used, before a byte of an answer. On a connection of its own that cannot
                // happen again.
                match clients.kept.request(attempt()).await {
                    Err(error) if ConnectionTrace::is_silent_end_of_kept(&error) => shared.metrics.retried(),
                    other => return other,
                }
            }
            clients.fresh.request(attempt()).await
        };
        // The time for an answer runs from the client's last byte, not from the first: an upload of an hour is no slow
        // app.
        let answer = tokio::select! {
            answer = answer => answer,
            () = upload.idle_for(shared.options.answer_timeout) => return Err(ErrorPage::Timeout),
            () = flooded.notified() => return Err(ErrorPage::BadAnswer),
        };
        let error = match answer {
            Ok(response) => {
                let hold = Hold { _answer: upload.answered(), _in_flight: in_flight, _lease: lease };
                return answered(shared, response, &upload, hold, upgrade, asking);
            }
            Err(error) => error,
        };
        tracing::debug!(app = %route.app.name, instance = %lease.instance(), %error, "an instance gave no answer");
        // The client's own fault is looked at first. An instance that saw a request break off is not to blame, and
        // another one would see the same.
        match upload.fault() {
            Some(Fault::Stalled) => return Err(ErrorPage::Stalled),
            Some(Fault::Broken) => return Err(ErrorPage::BadBody),
            None => {}
        }
        if is_no_http(&error) {
            return Err(ErrorPage::BadAnswer);
        }
        failed.push(lease.instance().clone());
        if error.is_connect() {
            // Others need not find out again. The scheduler's next check decides whether it comes back.
            shared.endpoints.refused(&lease);
        }
        // The lease lives on to here: while an instance is tried, it is not stopped.
        drop(lease);
        if !is_unsent(&error, &upload) || failed.len() >= TRIES {
            return Err(ErrorPage::BadGateway);
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
    upload: &Upload,
    flooded: &Arc<Notify>,
) -> Request<UploadBody> {
    let mut attempt = Request::new(upload.attempt());
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

/// Whether there was an answer, and it could not be understood. It is not asked for again: the request has been done.
fn is_no_http(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<hyper::Error>());
    source.is_some_and(hyper::Error::is_parse)
}

/// Whether a request certainly has not reached the instance. Anything else may have been done already – or have killed
/// the instance, as it would the next.
fn is_unsent(error: &Error, upload: &Upload) -> bool {
    error.is_connect() && !upload.is_touched()
}

/// Methods that change nothing (RFC 9110, 9.2.1), so that sending them again does no harm.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// The instance's address and the request's path. The user part never leaves this process: the pool of connections goes
/// by the authority, and a kept connection must not be used for another app that got the same address later.
fn target(lease: &Lease, path: Option<&PathAndQuery>) -> Uri {
    let path = path.cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    Uri::builder()
        .scheme("http")
        .authority(format!("{}@{}", lease.serial(), lease.address()))
        .path_and_query(path)
        .build()
        .expect("a number, an address and a path that came in a request are a valid URI")
}

fn answered(
    shared: &Shared,
    mut response: Response<Incoming>,
    upload: &Upload,
    hold: Hold,
    upgrade: Option<(OnUpgrade, HeaderValue)>,
    asking: &Asking<'_>,
) -> Result<Response<Body>, ErrorPage> {
    ConnectionTrace::answered(response.extensions());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // An app that switches unasked would own a connection whose client goes on speaking HTTP.
        let (client, asked) = upgrade.ok_or(ErrorPage::BadAnswer)?;
        let protocol = upgrade::agreed(response.headers(), &asked).ok_or(ErrorPage::BadAnswer)?;
        let app = hyper::upgrade::on(&mut response);
        strip_hop_by_hop(response.headers_mut());
        upgrade::keep(response.headers_mut(), protocol);
        // The client's connection counts as long as its tunnel, though it is no HTTP connection any more.
        let until_end = (Arc::clone(&asking.permit), asking.client_permit.clone(), hold);
        let stop = asking.stop.clone();
        shared.tunnels.spawn(tunnel(client, app, shared.options.idle_tunnel, stop, until_end));
        return Ok(response.map(|_| Body::empty()));
    }
    // An answer with two ends could carry a second one, for whoever asks next on the client's side.
    if !is_plain_answer(response.headers()) || answer_size(&response) > shared.options.max_head {
        return Err(ErrorPage::BadAnswer);
    }
    strip_hop_by_hop(response.headers_mut());
    // The framing is made anew by the client's connection, which may speak another version than the app's.
    let (mut parts, body) = response.into_parts();
    parts.version = Version::HTTP_11;
    if !upload.is_ended() {
        // The answer came before the end of the request. The client may stop sending now, so what comes next on its
        // connection is not known to be a request; and if the app stops reading, somebody must go on.
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        tokio::spawn(upload.clone().drain_once_released(shared.options.linger));
    }
    Ok(Response::from_parts(parts, Body::new(GuardedBody::new(body, hold))))
}
