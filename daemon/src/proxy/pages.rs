//! What a person sees when there is no app to answer.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use serde_json::json;

use super::{Bound, body::full};
use crate::api::CODE;

/// Why there is no answer of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorPage {
    /// The request has no host, or two.
    BadHost,
    /// The request could end at several places.
    Ambiguous,
    /// The request's body is not what its head announced.
    BadBody,
    /// The request asks for another protocol in a way that none is switched to.
    BadUpgrade,
    /// The request's head is too large.
    LargeHead,
    /// The request wants a tunnel to somewhere.
    NoTunnel,
    /// No app has this host.
    UnknownHost,
    /// The app has nothing that could answer.
    NoInstance,
    /// There is no room for one more.
    Full(Bound),
    /// The app is in maintenance.
    Maintenance,
    /// The client stopped sending its request.
    Stalled,
    /// The app closed the connection instead of answering.
    BadGateway,
    /// The app answered something that cannot be passed on.
    BadAnswer,
    /// The app took too long.
    Timeout,
}

impl ErrorPage {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadHost => {
                (StatusCode::BAD_REQUEST, "Bad request", "The request must name exactly one host, by HTTP.")
            }
            Self::Ambiguous => {
                (StatusCode::BAD_REQUEST, "Bad request", "Where the request's body ends is not clear.")
            }
            Self::BadBody => {
                (StatusCode::BAD_REQUEST, "Bad request", "The request's body is not what its head announced.")
            }
            Self::BadUpgrade => (
                StatusCode::BAD_REQUEST,
                "Bad request",
                "Only a GET request of HTTP/1.1 without a body can switch to another protocol.",
            ),
            Self::LargeHead => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "Headers too large",
                "The request's headers are larger than this server takes, or more.",
            ),
            Self::NoTunnel => {
                (StatusCode::METHOD_NOT_ALLOWED, "No tunnels", "This server leads to its own apps only.")
            }
            Self::UnknownHost => (
                StatusCode::NOT_FOUND,
                "No such app",
                "There is no app at this address. Is its name spelled right?",
            ),
            Self::NoInstance => (
                StatusCode::SERVICE_UNAVAILABLE,
                "This app is not running",
                "It is starting, or scaled to zero, or nothing was deployed yet. Its owner sees more with `deis ps`.",
            ),
            Self::Full(bound) => (StatusCode::SERVICE_UNAVAILABLE, "Too busy", bound.text()),
            Self::Maintenance => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Down for maintenance",
                "This app is being worked on. Please come back in a little while.",
            ),
            Self::Stalled => {
                (StatusCode::REQUEST_TIMEOUT, "Request timed out", "The request stopped before its end.")
            }
            Self::BadGateway => (
                StatusCode::BAD_GATEWAY,
                "The app gave no answer",
                "It closed the connection before it answered. Its owner sees more with `deis logs`.",
            ),
            Self::BadAnswer => (
                StatusCode::BAD_GATEWAY,
                "The app's answer is not valid HTTP",
                "It answered, but with a head that is malformed, too large or ambiguous, so that it cannot be passed on.",
            ),
            Self::Timeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "The app took too long",
                "It did not answer in time. Please try again.",
            ),
        }
    }

    /// The same for whoever asked the platform itself, in the form of the API's errors.
    pub(super) fn api_response(self) -> Response<Body> {
        let (status, _, text) = self.parts();
        let code = match status {
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "too_large",
            _ => "invalid",
        };
        let mut response = Response::new(full(json!({"detail": text}).to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CODE, HeaderValue::from_static(code));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// The page as HTML for browsers, as plain text for everybody else.
    pub(super) fn response(self, headers: &HeaderMap) -> Response<Body> {
        let (status, title, text) = self.parts();
        let html = headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
        let (kind, body) = if html {
            let page = format!(
                "<!doctype html><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
                 <title>{title}</title><style>body{{font:18px/1.5 system-ui,sans-serif;max-width:32em;\
                 margin:18vh auto;padding:0 1em;color:#333}}h1{{font-size:1.4em}}</style>\
                 <h1>{title}</h1><p>{text}</p>\n"
            );
            ("text/html; charset=utf-8", page)
        } else {
            ("text/plain; charset=utf-8", format!("{title}. {text}\n"))
        };
        let mut response = Response::new(full(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // What follows on the connection may be the rest of this request.
        let ends = [Self::Stalled, Self::Ambiguous, Self::BadBody, Self::BadUpgrade, Self::NoTunnel];
        if ends.contains(&self) || matches!(self, Self::Full(_)) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
