//! Dry run of a change.

use deis_core::Intent;
use serde_json::Value;

use super::{
    auth::App,
    config::{MEMBERS, patch},
    error::{ApiError, Result},
    payload::Payload,
    pods::scales,
    respond::Answer,
};
use crate::dto::PlanDto;

/// What a change of config or scale would do; nothing is changed.
pub(super) async fn plan(App(app): App, payload: Payload) -> Result<Answer<PlanDto>> {
    let config = MEMBERS.iter().any(|member| payload.members.contains_key(*member));
    let intent = match (payload.members.get("scale"), config) {
        (Some(Value::Object(map)), false) => Intent::Scale(scales(map)?),
        (Some(_), false) => {
            return Err(ApiError::field("scale", "This field must be an object, such as {\"web\": 2}."));
        }
        (None, true) => Intent::Config(patch(&payload)?),
        (Some(_), true) | (None, false) => {
            let text = "say what to plan, one of both: {\"values\": {…}} (or another member of the config) or \
                        {\"scale\": {…}}";
            return Err(ApiError::Bad(text.to_owned()));
        }
    };
    Ok(Answer::ok(app.plan(&intent).await?.into()))
}
