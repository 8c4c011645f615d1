//! One file per topic.

mod apps;
mod auth;
mod builds;
mod config;
mod domains;
mod git;
mod keys;
mod logs;
mod plan;
mod ps;
mod releases;
mod run;
mod version;

use serde_json::Value;

use super::{
    app_name::AppName,
    args::{Command, JsonArg, LimitArg},
    context::Context,
    error::{ClientError, Result},
    http::Api,
    output,
};

/// Runs one command.
pub(super) async fn run(cx: &Context, command: Command) -> Result<()> {
    let done = match command {
        Command::Auth(command) => auth::run(cx, command).await,
        Command::Apps(command) => apps::run(cx, command).await,
        Command::Builds(command) => builds::run(cx, command).await,
        Command::Config(command) => config::run(cx, command).await,
        Command::Releases(command) => releases::run(cx, command).await,
        Command::Ps(command) => ps::run(cx, command).await,
        Command::Domains(command) => domains::run(cx, command).await,
        Command::Keys(command) => keys::run(cx, command).await,
        Command::Git(command) => git::run(cx, command).await,
        Command::Users { limit, json } => auth::users(cx, limit, json).await,
        Command::Shortcuts => {
            version::shortcuts();
            Ok(())
        }
        Command::Version { all, json } => version::version(cx, all, json).await,
    };
    done.map_err(|error| cx.explain(error))
}

/// A page of a list, as the controller sends it.
#[derive(Debug, serde::Deserialize)]
struct ListPage {
    count: u64,
    results: Vec<Value>,
}

/// Reads a list and prints it: as JSON, or by `row` under `title`.
async fn print_list(
    cx: &Context,
    path: &str,
    limit: LimitArg,
    json: JsonArg,
    title: &str,
    row: impl Fn(&Value) -> Vec<String>,
) -> Result<()> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{separator}limit={}", cx.limit(limit)?);
    let value: Value = cx.api()?.get(&path).await?;
    if json.json {
        return output::json(&value);
    }
    let page: ListPage = serde_json::from_value(value).map_err(|e| ClientError::BadAnswer(e.to_string()))?;
    output::list_heading(title, page.results.len(), page.count);
    output::table(&page.results.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

/// All rows of a list, however many pages it has.
async fn all(api: &Api, path: &str) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    loop {
        let page: ListPage = api.get(&format!("{path}?offset={}", rows.len())).await?;
        let last = page.results.is_empty();
        rows.extend(page.results);
        if last || u64::try_from(rows.len()).is_ok_and(|n| n >= page.count) {
            return Ok(rows);
        }
    }
}

/// Number of the newest release that is not failed, for the line that says what a change made.
async fn newest_release(api: &Api, app: &AppName) -> Result<String> {
    let page: ListPage = api.get(&format!("/v2/apps/{app}/releases/?limit=20")).await?;
    let newest = page.results.iter().find(|r| r.get("failed") != Some(&Value::Bool(true)));
    Ok(newest.map(|r| format!("v{}", output::text(r, "version"))).unwrap_or_default())
}

/// What a change that is waited for says when the person goes away.
const DETACHED: &str =
    "Detached. The change goes on without you: `deis releases` and `deis ps` show what becomes of it.";
