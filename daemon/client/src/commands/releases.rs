//! Releases: list, show, go back.

use serde_json::{Value, json};

use super::super::{
    args::{AppArg, JsonArg, LimitArg, ReleasesCommand},
    context::Context,
    error::{ClientError, Result},
    output,
};
use super::{DETACHED, print_list};

pub(super) async fn run(cx: &Context, command: ReleasesCommand) -> Result<()> {
    match command {
        ReleasesCommand::List { app, limit, json } => list(cx, &app, limit, json).await,
        ReleasesCommand::Info { version, app, json } => info(cx, &app, &version, json).await,
        ReleasesCommand::Rollback { version, app } => rollback(cx, &app, version).await,
    }
}

async fn list(cx: &Context, arg: &AppArg, limit: LimitArg, json: JsonArg) -> Result<()> {
    let app = cx.app(arg).await?;
    let title = format!("{app} Releases");
    print_list(cx, &format!("/v2/apps/{app}/releases/"), limit, json, &title, |release| {
        let failed = release.get("failed") == Some(&Value::Bool(true));
        vec![
            format!("v{}", output::text(release, "version")),
            output::ago(&output::text(release, "created")),
            format!("{}{}", output::text(release, "summary"), if failed { " (failed)" } else { "" }),
        ]
    })
    .await
}

async fn info(cx: &Context, arg: &AppArg, version: &str, json: JsonArg) -> Result<()> {
    let (app, number) = (cx.app(arg).await?, number(version)?);
    let release: Value = cx.api()?.get(&format!("/v2/apps/{app}/releases/v{number}/")).await?;
    if json.json {
        return output::json(&release);
    }
    output::heading(&format!("{app} Release v{number}"));
    let fields = ["summary", "owner", "created", "updated", "build", "config", "failed", "exception", "uuid"];
    let rows = fields.iter().map(|field| {
        let text = output::text(&release, field);
        let text = if matches!(*field, "created" | "updated") { output::ago(&text) } else { text };
        vec![format!("{field}:"), text]
    });
    output::table(&rows.filter(|r| !r[1].is_empty()).collect::<Vec<_>>());
    Ok(())
}

async fn rollback(cx: &Context, arg: &AppArg, version: Option<String>) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg).await?);
    let (title, body) = match version.as_deref().map(number).transpose()? {
        Some(n) => (format!("Rolling back to v{n}"), json!({"version": n})),
        None => ("Rolling back one release".to_owned(), json!({})),
    };
    let path = format!("/v2/apps/{app}/releases/rollback/");
    let made = async {
        let answer: Value = api.post(&path, &body).await?;
        Ok(output::text(&answer, "version"))
    };
    let release = output::action(&title, DETACHED, made).await?;
    output::line(&format!("{app} is now at v{release}"));
    Ok(())
}

fn number(version: &str) -> Result<i64> {
    version.strip_prefix('v').unwrap_or(version).parse().map_err(|_| {
        ClientError::Usage(format!(
            "{version:?} is not a release; releases are written v1, v2 … (see `deis releases`)"
        ))
    })
}
