//! Domains: list, add, remove.

use serde_json::json;

use super::super::{
    args::{AppArg, DomainsCommand, JsonArg, LimitArg},
    context::Context,
    error::Result,
    http::segment,
    output,
};
use super::{DETACHED, print_list};

pub(super) async fn run(cx: &Context, command: DomainsCommand) -> Result<()> {
    match command {
        DomainsCommand::List { app, limit, json } => list(cx, &app, limit, json).await,
        DomainsCommand::Add { domain, app } => add(cx, &app, &domain).await,
        DomainsCommand::Remove { domain, app } => remove(cx, &app, &domain).await,
    }
}

async fn list(cx: &Context, arg: &AppArg, limit: LimitArg, json: JsonArg) -> Result<()> {
    let app = cx.app(arg).await?;
    let title = format!("{app} Domains");
    print_list(cx, &format!("/v2/apps/{app}/domains/"), limit, json, &title, |d| {
        vec![output::text(d, "domain")]
    })
    .await
}

async fn add(cx: &Context, arg: &AppArg, domain: &str) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg).await?);
    let (path, body) = (format!("/v2/apps/{app}/domains/"), json!({"domain": domain}));
    let call = api.done(reqwest::Method::POST, &path, Some(&body));
    output::action(&format!("Adding {domain} to {app}"), DETACHED, call).await.map(|_| ())
}

async fn remove(cx: &Context, arg: &AppArg, domain: &str) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg).await?);
    let path = format!("/v2/apps/{app}/domains/{}", segment(domain)?);
    output::action(&format!("Removing {domain} from {app}"), DETACHED, api.delete(&path)).await
}
