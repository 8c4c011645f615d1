//! Config.

use std::collections::BTreeMap;

use deis_core::{
    ConfigPatch, EnvKey,
    model::{HealthCheckPatch, MapPatch, Probe, Secret, shown},
};
use serde_json::{Map, Value, value::RawValue};

use super::{
    auth::App,
    error::{ApiError, Result},
    payload::Payload,
    releases::wait_until_live,
    respond::Answer,
};
use crate::dto::{ConfigDto, ProbeDto};

/// The members of a config that a request may change.
pub(super) const MEMBERS: [&str; 9] = [
    "values",
    "memory",
    "cpu",
    "tags",
    "registry",
    "lifecycle_post_start",
    "lifecycle_pre_stop",
    "termination_grace_period",
    "healthcheck",
];

/// The config of the newest release that did not fail.
pub(super) async fn info(App(app): App) -> Result<Answer<ConfigDto>> {
    Ok(Answer::ok(ConfigDto::new(app.name(), app.config().await?)))
}

/// Changes the config; answers, when the release is live, with the very config that it made.
pub(super) async fn set(App(app): App, payload: Payload) -> Result<Answer<ConfigDto>> {
    let (change, config) = app.config_made(patch(&payload)?).await?;
    // Without a rollout it was in force in its own batch.
    if change.generation.is_some() {
        wait_until_live(&app, &change).await?;
    }
    Ok(Answer::created(ConfigDto::new(app.name(), config)))
}

/// The patch in a request.
pub(super) fn patch(payload: &Payload) -> Result<ConfigPatch> {
    let sent = Sent { payload, written: payload.as_written() };
    Ok(ConfigPatch {
        values: values(&sent)?,
        memory: texts(&sent, "memory")?,
        cpu: texts(&sent, "cpu")?,
        tags: texts(&sent, "tags")?,
        registry: hidden(texts(&sent, "registry")?),
        lifecycle_post_start: texts(&sent, "lifecycle_post_start")?,
        lifecycle_pre_stop: texts(&sent, "lifecycle_pre_stop")?,
        termination_grace_period: texts(&sent, "termination_grace_period")?,
        healthcheck: health(&sent)?,
    })
}

/// A request, and its members as they were written.
struct Sent<'a> {
    payload: &'a Payload,
    written: BTreeMap<String, Box<RawValue>>,
}

/// A member: an object, or a text that holds one.
fn member(sent: &Sent<'_>, name: &str) -> Result<BTreeMap<String, Box<RawValue>>> {
    const WRONG: &str = "This field must be an object, or a string that holds one";
    let wrong = || ApiError::field(name, format!("{WRONG}."));
    let text = match sent.payload.members.get(name) {
        None => return Ok(BTreeMap::new()),
        Some(Value::Null) => return Err(ApiError::field(name, "This field may not be null.")),
        Some(Value::Object(_)) => sent.written.get(name).map(|raw| raw.get()),
        Some(Value::String(text)) => {
            // As strict inside a string as the whole body is.
            if let Err(error) = super::json::parse(text.as_bytes()) {
                return Err(ApiError::field(name, format!("{WRONG}: {error}.")));
            }
            Some(text.as_str())
        }
        Some(_) => None,
    };
    text.and_then(|text| serde_json::from_str(text).ok()).ok_or_else(wrong)
}

fn hidden(patch: MapPatch<String, String>) -> MapPatch<String, Secret> {
    patch.into_iter().map(|(key, value)| (key, value.map(Secret::new))).collect()
}

fn values(sent: &Sent<'_>) -> Result<MapPatch<EnvKey, Secret>> {
    let pair = |(key, value): (String, Box<RawValue>)| match (EnvKey::new(key.as_str()), text(&value)) {
        (Ok(key), value) => Ok((key, value.map(Secret::new))),
        // What cannot be set is not set.
        (Err(_), None) => {
            Err(ApiError::Unprocessable(format!("{} does not exist under values", shown(&key))))
        }
        (Err(error), Some(_)) => Err(ApiError::field("values", error.to_string())),
    };
    member(sent, "values")?.into_iter().map(pair).collect()
}

fn texts(sent: &Sent<'_>, name: &str) -> Result<MapPatch<String, String>> {
    Ok(member(sent, name)?.into_iter().map(|(key, value)| (key, text(&value))).collect())
}

/// Scalars become text as people write them, whole numbers with all their digits; containers stay as they are written.
fn text(value: &RawValue) -> Option<String> {
    let written = value.get();
    let whole = written.strip_prefix('-').unwrap_or(written).bytes().all(|b| b.is_ascii_digit());
    match serde_json::from_str(written) {
        Ok(Value::Null) => None,
        Ok(Value::String(text)) => Some(text),
        Ok(Value::Number(number)) if !whole => Some(number.to_string()),
        _ => Some(written.to_owned()),
    }
}

fn health(sent: &Sent<'_>) -> Result<MapPatch<String, HealthCheckPatch>> {
    let mut patch = MapPatch::new();
    for (process, value) in member(sent, "healthcheck")? {
        let checks = match serde_json::from_str(value.get()) {
            Ok(Value::Null) => None,
            Ok(Value::Object(map)) => Some(probes(&map)?),
            _ => return Err(wrong_health(format!("{} must be an object or null", shown(&process)))),
        };
        patch.insert(process, checks);
    }
    Ok(patch)
}

fn probes(map: &Map<String, Value>) -> Result<HealthCheckPatch> {
    let names = ["livenessProbe", "readinessProbe"];
    if let Some(other) = map.keys().find(|key| !names.contains(&key.as_str())) {
        let other = shown(other);
        return Err(wrong_health(format!("{other} is no probe: use livenessProbe or readinessProbe")));
    }
    let probe = |name: &str| -> Result<_> {
        match map.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => {
                let sent = ProbeDto::parse(name, value).map_err(|e| wrong_health(e.to_string()))?;
                let probe = Probe::try_from(sent).map_err(|e| wrong_health(format!("{name}: {e}")))?;
                Ok(Some(Some(probe)))
            }
        }
    };
    Ok(HealthCheckPatch { liveness: probe("livenessProbe")?, readiness: probe("readinessProbe")? })
}

fn wrong_health(text: String) -> ApiError {
    ApiError::field("healthcheck", text)
}
