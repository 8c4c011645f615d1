//! Commands that run beside the processes of an app: list, start one that goes on by itself, stop.

use std::collections::BTreeMap;

use deis_client::attach::StartRun;
use deis_core::{
    EnvKey, Kind,
    model::{TaskInfo, TaskLife, TaskName, TaskState},
    service::RunOptions,
};
use serde_json::{Value, json};

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
    let start: StartRun = serde_json::from_value(Value::Object(payload.members))
        .map_err(|e| ApiError::Bad(format!("a command to run: {e}")))?;
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
