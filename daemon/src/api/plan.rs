//! Dry run of a change.

use deis_core::{Intent, Plan};
use serde_json::Value;

use super::{
    auth::App,
    config::patch,
    error::{ApiError, Result},
    json::{Answer, Payload},
    pods::scales,
};

/// What a change of config or scale would do; nothing is changed.
pub(super) async fn plan(App(app): App, payload: Payload) -> Result<Answer<Plan>> {
    let intent = match payload.0.get("scale") {
        Some(Value::Object(map)) => Intent::Scale(scales(&Payload(map.clone()))?),
        Some(_) => {
            return Err(ApiError::field("scale", "This field must be an object, such as {\"web\": 2}."));
        }
        None if payload.0.is_empty() => {
            return Err(ApiError::Bad("say what to plan: {\"values\": {…}} or {\"scale\": {…}}".to_owned()));
        }
        None => Intent::Config(patch(&payload)?),
    };
    Ok(Answer::ok(app.plan(&intent).await?))
}
