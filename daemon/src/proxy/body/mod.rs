//! Bodies on their way through the proxy.

mod guarded;
mod stall_timeout;
mod upload;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;

pub(super) use guarded::GuardedBody;
pub(super) use stall_timeout::StallTimeoutBody;
pub(super) use upload::{AnswerGuard, Fault, Upload, UploadBody};

/// A body with these bytes.
pub(super) fn full(text: impl Into<Bytes>) -> Body {
    Body::new(http_body_util::Full::new(text.into()).map_err(|never| match never {}))
}
