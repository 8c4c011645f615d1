//! Answers as bytes.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;

/// JSON with its status.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let (status, text) = match serde_json::to_vec(value) {
        Ok(text) => (status, text),
        Err(error) => {
            tracing::error!(%error, "an answer could not be encoded");
            (StatusCode::INTERNAL_SERVER_ERROR, br#"{"detail":"Server Error"}"#.to_vec())
        }
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer with a status.
#[derive(Debug)]
pub(super) struct Answer<T>(pub(super) StatusCode, pub(super) T);

impl<T: Serialize> Answer<T> {
    /// 200.
    pub(super) fn ok(value: T) -> Self {
        Self(StatusCode::OK, value)
    }

    /// 201.
    pub(super) fn created(value: T) -> Self {
        Self(StatusCode::CREATED, value)
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response<Body> {
        json(self.0, &self.1)
    }
}

/// 204, or another success without a body.
pub(super) struct Empty(pub(super) StatusCode);

impl Empty {
    /// 204.
    pub(super) const DONE: Self = Self(StatusCode::NO_CONTENT);
}

impl IntoResponse for Empty {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0;
        response
    }
}
