//! Commands that run beside the processes of an app: list, start one that goes on by itself, stop.

use std::collections::BTreeMap;

use deis_client::attach::{StartRun, TerminalSize};
use deis_core::{
    EnvKey, Kind,
    model::{TaskInfo, TaskLife, TaskName, TaskState},
    service::RunOptions,
};
use serde_json::{Map, Value, json};

use super::{
    auth::App,
    error::{ApiError, Result},
    payload::Payload,
    respond::{Answer, Empty},
    url::Segments,
};
use crate::dto::command;

/// The commands that run, and those that ended and are still known, the oldest first.
pub(super) async fn list(App(app): App) -> Result<Answer<Value>> {
    let runs: Vec<Value> = app.runs().await?.iter().map(shown).collect();
    Ok(Answer::ok(json!({"count": runs.len(), "results": runs})))
}

/// Starts a command that goes on by itself; answers once it is accepted.
pub(super) async fn create(App(app): App, payload: Payload) -> Result<Answer<Value>> {
    let start = start_of(&payload.members)?;
    let options = RunOptions { env: variables(&start)?, ..RunOptions::detached() };
    let name = app.start_run(&start.command, options).await.map_err(super::run::not_run)?;
    Ok(Answer::created(shown(&find(&app, &name).await?)))
}

/// One command.
pub(super) async fn info(App(app): App, path: Segments) -> Result<Answer<Value>> {
    Ok(Answer::ok(shown(&find(&app, &name_of(&path)?).await?)))
}

/// Ends a command; answers once that is accepted.
pub(super) async fn stop(App(app): App, path: Segments) -> Result<Empty> {
    app.stop_run(&name_of(&path)?).await?;
    Ok(Empty::DONE)
}

async fn find(app: &deis_core::AppHandle, name: &TaskName) -> Result<TaskInfo> {
    let known = app.runs().await?.into_iter().find(|run| run.task.name == *name);
    known.ok_or(ApiError::NoMatch(Kind::Run))
}

/// The command that a path names.
pub(super) fn name_of(path: &Segments) -> Result<TaskName> {
    let name = path.get("name").and_then(|name| TaskName::new(name).ok());
    name.ok_or(ApiError::NoMatch(Kind::Run))
}

/// What is to be run, member by member: a refusal names the one that is wrong.
pub(super) fn start_of(members: &Map<String, Value>) -> Result<StartRun> {
    let command = match members.get("command") {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => return Err(ApiError::field("command", "This field is required.")),
        Some(_) => return Err(ApiError::field("command", "Not a valid string.")),
    };
    let text = |(key, value): (&String, &Value)| match value {
        Value::String(text) => Ok((key.clone(), text.clone())),
        _ => Err(ApiError::field("env", format!("{key} is not a valid string."))),
    };
    let env = match members.get("env") {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(Value::Object(pairs)) => pairs.iter().map(text).collect::<Result<_>>()?,
        Some(_) => return Err(ApiError::field("env", "Expected an object of texts.")),
    };
    let terminal = match members.get("terminal") {
        None | Some(Value::Null) => None,
        Some(Value::Object(size)) => {
            Some(TerminalSize { columns: length(size, "columns")?, rows: length(size, "rows")? })
        }
        Some(_) => return Err(ApiError::field("terminal", "Expected an object with columns and rows.")),
    };
    Ok(StartRun { command, env, terminal })
}

fn length(size: &Map<String, Value>, name: &str) -> Result<u16> {
    let number = size.get(name).and_then(Value::as_u64).and_then(|number| u16::try_from(number).ok());
    let wrong = || ApiError::field("terminal", format!("{name} must be a number from 1 to {}.", u16::MAX));
    number.filter(|number| *number > 0).ok_or_else(wrong)
}

/// The variables that a command gets beside the config's.
pub(super) fn variables(start: &StartRun) -> Result<BTreeMap<EnvKey, String>> {
    let key = |(key, value): (&String, &String)| {
        let key = EnvKey::new(key.as_str()).map_err(|e| ApiError::field("env", e.to_string()))?;
        Ok((key, value.clone()))
    };
    start.env.iter().map(key).collect()
}

fn shown(run: &TaskInfo) -> Value {
    let (state, exit) = match &run.state {
        TaskState::Starting => ("starting", None),
        TaskState::Running => ("up", None),
        TaskState::Ended { exit, .. } => ("ended", Some(command::exit(*exit))),
        TaskState::Unknown => ("unknown", None),
    };
    json!({
        "name": run.task.name,
        "state": state,
        "exit": exit,
        "detached": run.life == TaskLife::Detached,
        "since": run.since.to_rfc3339(),
    })
}
