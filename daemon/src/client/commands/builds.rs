//! Builds.

use deis_core::model::parse_procfile;
use serde_json::json;

use super::super::{
    args::{AppArg, BuildsCommand, JsonArg, LimitArg},
    context::Context,
    error::{ClientError, Result},
    output,
};
use super::{DETACHED, newest_release, print_list};

pub(super) async fn run(cx: &Context, command: BuildsCommand) -> Result<()> {
    match command {
        BuildsCommand::List { app, limit, json } => list(cx, &app, limit, json).await,
        BuildsCommand::Create { image, procfile, app } => create(cx, &app, &image, procfile.as_deref()).await,
    }
}

async fn list(cx: &Context, arg: &AppArg, limit: LimitArg, json: JsonArg) -> Result<()> {
    let app = cx.app(arg).await?;
    let title = format!("{app} Builds");
    print_list(cx, &format!("/v2/apps/{app}/builds/"), limit, json, &title, |build| {
        let sha: String = output::text(build, "sha").chars().take(8).collect();
        vec![
            output::text(build, "uuid"),
            output::ago(&output::text(build, "created")),
            sha,
            output::text(build, "owner"),
        ]
    })
    .await
}

async fn create(cx: &Context, arg: &AppArg, image: &str, procfile: Option<&str>) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg).await?);
    let path = format!("/v2/apps/{app}/builds/");
    let mut body = json!({"image": image});
    if let Some(text) = procfile {
        let types = parse_procfile(text).map_err(|e| ClientError::Usage(format!("--procfile: {e}")))?;
        body["procfile"] = types.into_iter().map(|(name, line)| (name.to_string(), line)).collect();
    }
    let made = async {
        api.done(reqwest::Method::POST, &path, Some(&body)).await?;
        newest_release(&api, &app).await
    };
    let release = output::action("Creating build", DETACHED, made).await?;
    output::line(&format!("{app} is now at {release}"));
    Ok(())
}
