//! Processes: list, scale, restart.

use std::{collections::BTreeMap, time::Duration};

use deis_core::{
    AppHandle, ChangeOutcome, ProcessType, RestartScope,
    model::{Instance, InstanceName, shown},
};
use serde_json::{Map, Value, json};

use super::{
    auth::App,
    error::{ApiError, Result, no_process_type},
    payload::Payload,
    respond::{Answer, Empty},
    url::Segments,
};
use crate::dto::PodDto;

/// The processes of the newest release that did not fail: all, of a type, or one. While it is rolled out these are the
/// new ones, so that people see them come.
pub(super) async fn list(App(app): App, path: Segments) -> Result<Answer<Value>> {
    let pods: Vec<PodDto> = matching(&app, &path).await?.into_iter().map(PodDto::from).collect();
    Ok(Answer::ok(json!({"count": pods.len(), "results": pods})))
}

async fn matching(app: &AppHandle, path: &Segments) -> Result<Vec<Instance>> {
    let current = app.info().await?.current;
    let mut all = app.instances().await?;
    all.retain(|i| !i.is_draining() && i.release == current);
    all.retain(|i| is_meant(app, path, i));
    Ok(all)
}

fn is_meant(app: &AppHandle, path: &Segments, instance: &Instance) -> bool {
    path.get("type").is_none_or(|t| instance.process.as_str() == t)
        && path.get("name").is_none_or(|n| is_named(app, instance, n))
}

/// A name may leave out the app's.
fn is_named(app: &AppHandle, instance: &Instance, name: &str) -> bool {
    let full = instance.name.as_str();
    full == name || full.strip_prefix(app.name().as_str()).and_then(|r| r.strip_prefix('-')) == Some(name)
}

/// Sets how many processes of each type run; answers when they do.
pub(super) async fn scale(App(app): App, payload: Payload) -> Result<Empty> {
    let change = app.scale(scales(&payload.members)?).await?;
    match app.wait(&change).await? {
        ChangeOutcome::Done | ChangeOutcome::Superseded { .. } => Ok(Empty::DONE),
        ChangeOutcome::Failed(cause) => Err(ApiError::Service {
            code: "scale_failed",
            text: format!("(scale): {cause}\n{}", cause.hint()),
        }),
    }
}

/// The wanted numbers in a request.
pub(super) fn scales(wanted: &Map<String, Value>) -> Result<BTreeMap<ProcessType, u32>> {
    let mut scales = BTreeMap::new();
    for (process, value) in wanted {
        let literal = |text: &str| {
            let text = shown(text);
            ApiError::Bad(format!("Invalid scaling format: invalid literal for int() with base 10: '{text}'"))
        };
        let number = match value {
            Value::Number(n) => {
                n.as_i64().or_else(|| n.as_f64().map(truncate)).ok_or_else(|| literal(&n.to_string()))?
            }
            Value::String(text) => text.trim().parse().map_err(|_| literal(text))?,
            other => return Err(literal(&other.to_string())),
        };
        let number = u32::try_from(number).map_err(|_| {
            let text =
                if number < 0 { "Must be greater than or equal to zero" } else { "Must be a small number" };
            ApiError::Bad(format!("Invalid scaling format: [ErrorDetail(string='{text}', code='invalid')]"))
        })?;
        let unknown = || no_process_type(process);
        scales.insert(ProcessType::new(process.as_str()).map_err(|_| unknown())?, number);
    }
    Ok(scales)
}

#[allow(clippy::cast_possible_truncation)]
fn truncate(number: f64) -> i64 {
    // A cast saturates, and whatever is out of range is refused after it.
    number.trunc() as i64
}

/// Replaces processes, each new one ready before an old one leaves; answers with the new ones that are there in the end.
/// Why there are fewer than there were is in the app's log.
pub(super) async fn restart(App(app): App, path: Segments) -> Result<Answer<Vec<PodDto>>> {
    let old = matching(&app, &path).await?;
    if old.is_empty() {
        return Ok(Answer::ok(Vec::new()));
    }
    let names: Vec<InstanceName> = old.into_iter().map(|i| i.name).collect();
    let wider = path.without("name");
    let before: Vec<InstanceName> = matching(&app, &wider).await?.into_iter().map(|i| i.name).collect();
    if path.get("name").is_some() {
        for name in &names {
            app.restart(RestartScope::Instance(name.clone())).await?;
        }
        replaced(&app, &wider, &names, before.len()).await?;
    } else {
        let process = path.get("type").and_then(|t| ProcessType::new(t).ok());
        let change = app.restart(process.map_or(RestartScope::All, RestartScope::Type)).await?;
        app.wait(&change).await?;
    }
    let fresh = matching(&app, &wider).await?.into_iter().filter(|i| !before.contains(&i.name));
    Ok(Answer::ok(fresh.map(PodDto::from).collect()))
}

/// How long a restart of single processes is waited for; the answer then shows what is there.
const RESTART_WAIT: Duration = Duration::from_secs(300);

/// Waits until the evicted are gone and as many are up as before. Evictions leave no record to wait for.
async fn replaced(app: &AppHandle, path: &Segments, evicted: &[InstanceName], wanted: usize) -> Result<()> {
    let done = |now: &[Instance]| {
        let mut up = now.iter().filter(|i| !i.is_draining() && i.is_ready() && is_meant(app, path, i));
        // An evicted one stays in rotation until its replacement is available, which is later than ready.
        up.clone().filter(|i| !evicted.contains(&i.name)).count() >= wanted
            && !up.any(|i| evicted.contains(&i.name))
    };
    app.wait_instances(RESTART_WAIT, done).await?;
    Ok(())
}
