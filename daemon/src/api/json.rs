//! JSON in and out, with the leniency that existing clients rely on.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::{FromRequest, Request},
    http::{Response, StatusCode, header},
    response::IntoResponse,
};
use http_body_util::LengthLimitError;
use serde::Serialize;
use serde_json::{Map, Value};

use super::error::{ApiError, Result};

/// Largest body of an API request.
const MOST: usize = 8 << 20;
/// Longest wait for all of it.
const PATIENCE: Duration = Duration::from_secs(30);

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
        super::respond::json(self.0, &self.1)
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

/// A JSON object from a body; an empty body is an empty object.
#[derive(Clone, Debug, Default)]
pub(super) struct Payload(pub(super) Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let kind = kind.map(|k| k.split(';').next().unwrap_or(k).trim().to_ascii_lowercase());
        let body = read(request.into_body(), PATIENCE).await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        if let Some(kind) = kind.filter(|k| k != "application/json") {
            return Err(ApiError::MediaType(kind));
        }
        match serde_json::from_slice(&body) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(other) => {
                let text = format!("Invalid data. Expected a dictionary, but got {}.", python_type(&other));
                Err(ApiError::field("non_field_errors", text))
            }
            Err(error) => Err(ApiError::Bad(format!("JSON parse error - {error}"))),
        }
    }
}

impl Payload {
    /// A text that must be there.
    pub(super) fn required(&self, field: &str) -> Result<String> {
        self.optional(field)?.ok_or_else(|| ApiError::field(field, "This field is required."))
    }

    /// A text that may be missing, but not null or blank. White space around it goes.
    pub(super) fn optional(&self, field: &str) -> Result<Option<String>> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::Null) => Err(ApiError::field(field, "This field may not be null.")),
            Some(Value::String(text)) if text.trim().is_empty() => {
                Err(ApiError::field(field, "This field may not be blank."))
            }
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(ApiError::field(field, "Not a valid string.")),
        }
    }

    /// A password: not trimmed.
    pub(super) fn password(&self, field: &str) -> Result<String> {
        self.required(field)?;
        match self.0.get(field) {
            Some(Value::String(text)) if text.chars().count() <= 128 => Ok(text.clone()),
            _ => Err(ApiError::field(field, "Ensure this field has no more than 128 characters.")),
        }
    }

    /// A text that may be missing, null or empty.
    pub(super) fn lenient(&self, field: &str) -> String {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default().trim().to_owned()
    }
}

/// The whole body. One that says that it is too large is refused unread, and one that does not come in time is given
/// up: each would hold a connection for nothing.
async fn read(body: Body, patience: Duration) -> Result<Bytes> {
    if body.size_hint().lower() > MOST as u64 {
        return Err(ApiError::TooLarge);
    }
    match tokio::time::timeout(patience, axum::body::to_bytes(body, MOST)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if std::error::Error::source(&error).is_some_and(|e| e.is::<LengthLimitError>()) => {
            Err(ApiError::TooLarge)
        }
        Ok(Err(_)) => Err(ApiError::Bad("the request broke off".to_owned())),
        Err(_) => Err(ApiError::Slow),
    }
}

fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::{StreamExt as _, stream};

    use super::*;

    #[tokio::test]
    async fn bodies_have_limits_of_size_and_time() {
        let large = || Body::from_stream(stream::repeat_with(|| Ok::<_, io::Error>(vec![b' '; 1 << 20])));
        assert!(matches!(read(large(), PATIENCE).await, Err(ApiError::TooLarge)));
        let announced = Body::from(vec![b' '; MOST + 1]);
        assert!(matches!(read(announced, PATIENCE).await, Err(ApiError::TooLarge)));
        let stalled = Body::from_stream(stream::iter([Ok::<_, io::Error>("{")]).chain(stream::pending()));
        assert!(matches!(read(stalled, Duration::from_millis(1)).await, Err(ApiError::Slow)));
        let broken = Body::from_stream(stream::iter([Ok("{"), Err(io::Error::other("gone"))]));
        assert!(matches!(read(broken, PATIENCE).await, Err(ApiError::Bad(_))));
        assert_eq!(read(Body::from("{}"), PATIENCE).await.unwrap(), "{}");
    }
}
