//! Liveness and readiness.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, Response, StatusCode, header},
};

use super::ApiState;

/// The process answers.
pub(super) async fn healthz() -> Response<Body> {
    text(StatusCode::OK, "OK")
}

/// The state can be read.
pub(super) async fn readiness(State(state): State<ApiState>) -> Response<Body> {
    match state.platform.ready().await {
        Ok(()) => text(StatusCode::OK, "OK"),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}
