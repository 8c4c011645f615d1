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

use deis_core::AppName;
use serde_json::Value;

use super::{
    args::{Command, JsonArg, LimitArg},
    context::Context,
    error::{ClientError, Result},
    output,
};

/// Runs one command.
pub(super) async fn run(cx: &Context, command: Command) -> Result<()> {
    match command {
        Command::Register(args) => auth::register(cx, args).await,
        Command::Login(args) => auth::login(cx, args).await,
        Command::Logout => auth::logout(cx),
        Command::Whoami { all, json } => auth::whoami(cx, all, json).await,
        Command::Passwd { password, new_password, username } => {
            auth::passwd(cx, password, new_password, username).await
        }
        Command::Regenerate { username, all } => auth::regenerate(cx, username, all).await,
        Command::Cancel { username, yes } => auth::cancel(cx, username, yes).await,
        Command::Users { limit, json } => auth::users(cx, limit, json).await,
        Command::Create { id, no_remote, buildpack, remote, ssh } => {
            apps::create(cx, id, buildpack, (!no_remote).then_some(remote), ssh).await
        }
        Command::Apps { limit, json } => apps::list(cx, limit, json).await,
        Command::Info { app, json } => apps::info(cx, &app, json).await,
        Command::Open { app } => apps::open(cx, &app).await,
        Command::Destroy { app, confirm } => apps::destroy(cx, &app, confirm).await,
        Command::Logs(args) => logs::logs(cx, args).await,
        Command::Run { app, command } => run::run(cx, &app, &command).await,
        Command::Builds { app, limit, json } => builds::list(cx, &app, limit, json).await,
        Command::BuildsCreate { image, app } => builds::create(cx, &app, &image).await,
        Command::ConfigList { app, oneline, json } => config::list(cx, &app, oneline, json).await,
        Command::ConfigSet { app, values } => config::set(cx, &app, &values).await,
        Command::ConfigUnset { app, keys } => config::unset(cx, &app, &keys).await,
        Command::Releases { app, limit, json } => releases::list(cx, &app, limit, json).await,
        Command::ReleaseInfo { version, app, json } => releases::info(cx, &app, &version, json).await,
        Command::Rollback { version, app } => releases::rollback(cx, &app, version).await,
        Command::Ps { app, json } => ps::list(cx, &app, json).await,
        Command::Restart { target, app } => ps::restart(cx, &app, target).await,
        Command::Scale { app, scales } => ps::scale(cx, &app, &scales).await,
        Command::Domains { app, limit, json } => domains::list(cx, &app, limit, json).await,
        Command::DomainsAdd { domain, app } => domains::add(cx, &app, &domain).await,
        Command::DomainsRemove { domain, app } => domains::remove(cx, &app, &domain).await,
        Command::Keys { limit, json } => keys::list(cx, limit, json).await,
        Command::KeysAdd { words } => keys::add(cx, &words).await,
        Command::KeysRemove { key } => keys::remove(cx, &key).await,
        Command::GitRemote { app, remote, force, ssh } => git::remote(cx, &app, &remote, force, ssh).await,
        Command::GitRemove { app } => git::remove(cx, &app).await,
        Command::GitCredential { operation } => git::credential(cx, &operation),
        Command::Plan { app, changes, unset, scale, json } => {
            plan::plan(cx, &app, &plan::Wanted { changes, unset, scale }, json).await
        }
        Command::Shortcuts => {
            version::shortcuts();
            Ok(())
        }
        Command::Version { all } => version::version(cx, all).await,
    }
}

/// A page of a list, as the controller sends it.
#[derive(Debug, serde::Deserialize)]
struct Page {
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
    let page: Page = serde_json::from_value(value).map_err(|e| ClientError::BadAnswer(e.to_string()))?;
    output::list_heading(title, page.results.len(), page.count);
    output::table(&page.results.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

/// Number of the newest release that is not failed, for the line that says what a change made.
async fn newest_release(api: &super::http::Api, app: &AppName) -> Result<String> {
    let page: Page = api.get(&format!("/v2/apps/{app}/releases/?limit=20")).await?;
    let newest = page.results.iter().find(|r| r.get("failed") != Some(&Value::Bool(true)));
    Ok(newest.map(|r| format!("v{}", output::text(r, "version"))).unwrap_or_default())
}

/// What a change that is waited for says when the person goes away.
const DETACHED: &str =
    "Detached. The change goes on without you: `deis releases` and `deis ps` show what becomes of it.";
