//! Builds.

use serde_json::json;

use super::super::{
    args::{AppArg, JsonArg, LimitArg},
    context::Context,
    error::Result,
    output,
};
use super::{DETACHED, newest_release, print_list};

pub(super) async fn list(cx: &Context, arg: &AppArg, limit: LimitArg, json: JsonArg) -> Result<()> {
    let app = cx.app(arg).await?;
    let title = format!("{app} Builds");
    print_list(cx, &format!("/v2/apps/{app}/builds/"), limit, json, &title, |build| {
        let sha: String = output::text(build, "sha").chars().take(8).collect();
        vec![output::text(build, "uuid"), output::text(build, "created"), sha, output::text(build, "owner")]
    })
    .await
}

pub(super) async fn create(cx: &Context, arg: &AppArg, image: &str) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg).await?);
    let (path, body) = (format!("/v2/apps/{app}/builds/"), json!({"image": image}));
    let made = async {
        api.done(reqwest::Method::POST, &path, Some(&body)).await?;
        newest_release(&api, &app).await
    };
    let release = output::action("Creating build", DETACHED, made).await?;
    output::line(&format!("{app} is now at {release}"));
    Ok(())
}
