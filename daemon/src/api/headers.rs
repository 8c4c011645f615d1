//! Headers of every answer.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, Method, Response, StatusCode, header},
    middleware::Next,
};
use serde_json::json;

use super::error::CODE;

const FIXED: [(HeaderName, &str); 6] = [
    (HeaderName::from_static("deis_api_version"), "2.3"),
    (HeaderName::from_static("deis_platform_version"), "2.3.0"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("x-xss-protection"), "1; mode=block"),
    (header::CACHE_CONTROL, "no-store"),
];

const CORS: [(HeaderName, &str); 5] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "DEIS_API_VERSION, DEIS_PLATFORM_VERSION, DEIS_ERROR_CODE"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type, accept, origin, Authorization, Host"),
    (header::ACCESS_CONTROL_MAX_AGE, "86400"),
];

/// Adds what clients and browsers look for; answers `OPTIONS` and an `Accept` that excludes JSON by itself.
pub(super) async fn add(request: Request, next: Next) -> Response<Body> {
    let has_origin = request.headers().contains_key(header::ORIGIN);
    let mut response = if request.method() == Method::OPTIONS {
        let about = json!({"name": "deis", "renders": ["application/json"], "parses": ["application/json"]});
        super::respond::json(StatusCode::OK, &about)
    } else if takes_json(&request) {
        next.run(request).await
    } else {
        let text = json!({"detail": "Could not satisfy the request Accept header."});
        let mut response = super::respond::json(StatusCode::NOT_ACCEPTABLE, &text);
        response.headers_mut().insert(CODE, HeaderValue::from_static("not_acceptable"));
        response
    };
    // Answers that the HTTP library makes by itself have one too.
    if response.status().is_client_error() || response.status().is_server_error() {
        let general = if response.status().is_client_error() { "invalid" } else { "internal" };
        response.headers_mut().entry(CODE).or_insert(HeaderValue::from_static(general));
    }
    let headers = response.headers_mut();
    for (name, value) in FIXED.iter().chain(CORS.iter().filter(|_| has_origin)) {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
    response
}

fn takes_json(request: &Request) -> bool {
    let api = request.uri().path().starts_with("/v2");
    let Some(accept) = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()) else {
        return true;
    };
    let kinds = ["*/*", "application/*", "application/json", "text/plain", "text/*"];
    let taken = |kind: &str| {
        let kind = kind.split(';').next().unwrap_or(kind).trim();
        kinds.iter().any(|known| kind.eq_ignore_ascii_case(known))
    };
    !api || accept.trim().is_empty() || accept.split(',').any(taken)
}
