//! Builds.

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::super::{
    app_name::AppName,
    args::{AppArg, BuildsCommand, JsonArg, LimitArg},
    context::Context,
    error::{ClientError, Result},
    http::Api,
    output,
};
use super::{DETACHED, newest_release, print_list};

/// How often the state of a build is asked for once its output has ended.
const LOOK: Duration = Duration::from_millis(300);

pub(super) async fn run(cx: &Context, command: BuildsCommand) -> Result<()> {
    match command {
        BuildsCommand::List { app, limit, json } => list(cx, &app, limit, json).await,
        BuildsCommand::Info { number, app, json } => info(cx, &app, number, json).await,
        BuildsCommand::Output { number, follow, app } => printed(cx, &app, number, follow).await,
        BuildsCommand::Cancel { number, app } => cancel(cx, &app, number).await,
        BuildsCommand::Create { image, procfile, app } => create(cx, &app, &image, procfile.as_deref()).await,
    }
}

async fn list(cx: &Context, arg: &AppArg, limit: LimitArg, json: JsonArg) -> Result<()> {
    let app = cx.app(arg).await?;
    let title = format!("{app} Builds");
    print_list(cx, &format!("/v2/apps/{app}/build-runs/"), limit, json, &title, |run| {
        let sha: String = output::text(run, "sha").chars().take(8).collect();
        vec![
            output::text(run, "number"),
            output::text(run, "state"),
            output::ago(&output::text(run, "created")),
            sha,
            output::text(run, "owner"),
        ]
    })
    .await
}

async fn info(cx: &Context, arg: &AppArg, number: Option<u64>, json: JsonArg) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app(arg).await?);
    let number = number_of(&api, &app, number).await?;
    let run: Value = api.get(&format!("/v2/apps/{app}/build-runs/{number}/")).await?;
    if json.json {
        return output::json(&run);
    }
    output::heading(&format!("{app} Build {number}"));
    let fields = ["state", "cause", "sha", "owner", "created", "ended", "build"];
    let rows = fields.iter().map(|field| {
        let text = output::text(&run, field);
        let text = if matches!(*field, "created" | "ended") { output::ago(&text) } else { text };
        vec![format!("{field}:"), text]
    });
    output::table(&rows.filter(|r| !r[1].is_empty()).collect::<Vec<_>>());
    Ok(())
}

async fn printed(cx: &Context, arg: &AppArg, number: Option<u64>, follow: bool) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app(arg).await?);
    let number = number_of(&api, &app, number).await?;
    let mut interrupts = output::interrupts()?;
    let query = if follow { "?follow=1" } else { "" };
    let answer = api.stream(&format!("/v2/apps/{app}/build-runs/{number}/output{query}")).await?;
    let mut chunks = answer.bytes_stream();
    loop {
        let chunk = tokio::select! {
            chunk = chunks.next() => chunk,
            _ = interrupts.recv() => {
                let text = format!("Detached from build {number} of {app}; it goes on.");
                return Err(ClientError::Interrupted(text));
            }
        };
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(ClientError::Ended)?;
        let mut out = std::io::stdout().lock();
        if out.write_all(&chunk).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
    if !follow {
        return Ok(());
    }
    tokio::select! {
        succeeded = succeeded(&api, &app, number) => succeeded,
        _ = interrupts.recv() => {
            Err(ClientError::Interrupted(format!("Detached from build {number} of {app}; it goes on.")))
        }
    }
}

/// Whoever follows a build waits for what becomes of it, which is known a moment after it has said its last word.
async fn succeeded(api: &Api, app: &AppName, number: u64) -> Result<()> {
    loop {
        let run: Value = api.get(&format!("/v2/apps/{app}/build-runs/{number}/")).await?;
        let (state, cause) = (output::text(&run, "state"), output::text(&run, "cause"));
        match &*state {
            "running" => tokio::time::sleep(LOOK).await,
            "failed" | "cancelled" | "interrupted" => {
                let because = if cause.is_empty() { String::new() } else { format!(": {cause}") };
                return Err(ClientError::Other(format!("build {number} of {app} ended as {state}{because}")));
            }
            _ => return Ok(()),
        }
    }
}

async fn cancel(cx: &Context, arg: &AppArg, number: Option<u64>) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg).await?);
    let number = number_of(&api, &app, number).await?;
    let path = format!("/v2/apps/{app}/build-runs/{number}/");
    let ended = async { api.done(reqwest::Method::DELETE, &path, None).await.map(drop) };
    output::action(&format!("Cancelling build {number} of {app}"), DETACHED, ended).await
}

/// The number that was given, or that of the newest build.
async fn number_of(api: &Api, app: &AppName, given: Option<u64>) -> Result<u64> {
    if let Some(number) = given {
        return Ok(number);
    }
    let page: Value = api.get(&format!("/v2/apps/{app}/build-runs/?limit=1")).await?;
    let newest = page.pointer("/results/0/number").and_then(Value::as_u64);
    newest.ok_or_else(|| ClientError::Other(format!("{app} has no builds yet: push something")))
}

async fn create(cx: &Context, arg: &AppArg, image: &str, procfile: Option<&str>) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg).await?);
    let path = format!("/v2/apps/{app}/builds/");
    let mut body = json!({"image": image});
    if let Some(text) = procfile {
        let types: BTreeMap<String, String> =
            serde_saphyr::from_str(text).map_err(|e| ClientError::Usage(format!("--procfile: {e}")))?;
        body["procfile"] = types.into_iter().collect();
    }
    let made = async {
        api.done(reqwest::Method::POST, &path, Some(&body)).await?;
        newest_release(&api, &app).await
    };
    let release = output::action("Creating build", DETACHED, made).await?;
    output::line(&format!("{app} is now at {release}"));
    Ok(())
}
