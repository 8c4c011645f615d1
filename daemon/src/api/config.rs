//! Config.

use deis_core::{ConfigPatch, EnvKey, HealthCheckPatch, MapPatch};
use serde_json::{Map, Value};

use super::{
    auth::App,
    error::{ApiError, Result},
    json::{Answer, Payload},
    releases::settle,
};
use crate::dto::ConfigDto;

/// The config of the newest release that did not fail.
pub(super) async fn info(App(app): App) -> Result<Answer<ConfigDto>> {
    Ok(Answer::ok(ConfigDto::new(app.name(), app.config().await?)))
}

/// Changes the config; answers when the release is live.
pub(super) async fn set(App(app): App, payload: Payload) -> Result<Answer<ConfigDto>> {
    let change = app.config_set(patch(&payload)?).await?;
    settle(&app, &change).await?;
    Ok(Answer::created(ConfigDto::new(app.name(), app.config().await?)))
}

/// The patch in a request.
pub(super) fn patch(payload: &Payload) -> Result<ConfigPatch> {
    Ok(ConfigPatch {
        values: values(payload)?,
        memory: texts(payload, "memory")?,
        cpu: texts(payload, "cpu")?,
        tags: texts(payload, "tags")?,
        registry: texts(payload, "registry")?,
        lifecycle_post_start: texts(payload, "lifecycle_post_start")?,
        lifecycle_pre_stop: texts(payload, "lifecycle_pre_stop")?,
        termination_grace_period: texts(payload, "termination_grace_period")?,
        healthcheck: health(payload)?,
    })
}

/// A member: an object, or a text that holds one.
fn member(payload: &Payload, name: &str) -> Result<Map<String, Value>> {
    let wrong = || ApiError::field(name, "This field must be an object, or a string that holds one.");
    match payload.0.get(name) {
        None => Ok(Map::new()),
        Some(Value::Null) => Err(ApiError::field(name, "This field may not be null.")),
        Some(Value::Object(map)) => Ok(map.clone()),
        Some(Value::String(text)) => match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(map),
            _ => Err(wrong()),
        },
        Some(_) => Err(wrong()),
    }
}

fn values(payload: &Payload) -> Result<MapPatch<EnvKey, String>> {
    let pair = |(key, value): (String, Value)| {
        let key = EnvKey::new(key).map_err(|e| ApiError::field("values", e.to_string()))?;
        Ok((key, text(value)))
    };
    member(payload, "values")?.into_iter().map(pair).collect()
}

fn texts(payload: &Payload, name: &str) -> Result<MapPatch<String, String>> {
    Ok(member(payload, name)?.into_iter().map(|(key, value)| (key, text(value))).collect())
}

/// Scalars become text as people write them, containers become JSON.
fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

fn health(payload: &Payload) -> Result<MapPatch<String, HealthCheckPatch>> {
    let wrong = |text: String| ApiError::field("healthcheck", text);
    let mut patch = MapPatch::new();
    for (process, value) in member(payload, "healthcheck")? {
        let checks = match value {
            Value::Null => None,
            Value::Object(map) => {
                if let Some(other) =
                    map.keys().find(|k| !["livenessProbe", "readinessProbe"].contains(&k.as_str()))
                {
                    return Err(wrong(format!("{other} is no probe: use livenessProbe or readinessProbe")));
                }
                let probe = |name: &str| match map.get(name) {
                    None => Ok(None),
                    Some(Value::Null) => Ok(Some(None)),
                    Some(value) => {
                        if value
                            .pointer("/httpGet")
                            .is_some_and(|g| g.get("port").is_none_or(|p| !p.is_u64()))
                        {
                            return Err(wrong(format!("{name}: httpGet needs a port, as a number")));
                        }
                        let probe = serde_json::from_value(value.clone());
                        probe.map(|p| Some(Some(p))).map_err(|e| wrong(format!("{name}: {e}")))
                    }
                };
                let (liveness, readiness) = (probe("livenessProbe")?, probe("readinessProbe")?);
                Some(HealthCheckPatch { liveness, readiness })
            }
            _ => return Err(wrong(format!("{process} must be an object or null"))),
        };
        patch.insert(process, checks);
    }
    Ok(patch)
}
