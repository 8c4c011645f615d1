//! The root of the API, and what the platform says about itself.

use axum::extract::State;
use serde_json::{Value, json};

use super::{ApiState, auth::Caller, respond::Answer};
use crate::dto::PlatformDto;

/// Tells a client that this is a controller: 401 without a token, `{}` with one.
pub(super) async fn root(_: Caller) -> Answer<Value> {
    Answer::ok(json!({}))
}

/// Domain, schemes and ports. Without a token, since nothing in it is secret and git needs it before a log-in.
pub(super) async fn info(State(state): State<ApiState>) -> Answer<PlatformDto> {
    Answer::ok((&*state.info).into())
}
