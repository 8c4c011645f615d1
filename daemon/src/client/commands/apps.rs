//! Apps: create, list, show, open, destroy.

use std::process::{Command, Stdio};

use deis_core::AppName;
use serde_json::{Value, json};

use super::super::{
    args::{AppArg, JsonArg, LimitArg},
    context::Context,
    error::{ClientError, Result},
    git::is_repository,
    output,
    prompt::ask,
};
use super::{DETACHED, Page, git, print_list, ps};

pub(super) async fn create(
    cx: &Context,
    id: Option<String>,
    buildpack: Option<String>,
    remote: Option<String>,
    ssh: bool,
) -> Result<()> {
    let api = cx.api()?;
    let body = id.map_or_else(|| json!({}), |id| json!({"id": id}));
    let created = async {
        let app: Value = api.post("/v2/apps/", &body).await?;
        AppName::new(output::text(&app, "id")).map_err(|e| ClientError::BadAnswer(e.to_string()))
    };
    let app = output::action("Creating Application", DETACHED, created).await?;
    output::line(&format!("created {app}"));
    if let Some(url) = buildpack {
        let body = json!({"values": {"BUILDPACK_URL": url}});
        api.done(reqwest::Method::POST, &format!("/v2/apps/{app}/config/"), Some(&body)).await?;
    }
    let Some(remote) = remote else {
        output::line(&format!(
            "If you want to add a git remote for this app later, use `deis git:remote -a {app}`"
        ));
        return Ok(());
    };
    if !is_repository() {
        output::line(&format!("This is no git repository; in one, use `deis git:remote -a {app}`"));
        return Ok(());
    }
    git::add(cx, &api, &app, &remote, false, ssh).await
}

pub(super) async fn list(cx: &Context, limit: LimitArg, json: JsonArg) -> Result<()> {
    print_list(cx, "/v2/apps/", limit, json, "Apps", |app| vec![output::text(app, "id")]).await
}

pub(super) async fn info(cx: &Context, arg: &AppArg, json: JsonArg) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app(arg).await?);
    let value: Value = api.get(&format!("/v2/apps/{app}/")).await?;
    let domains: Page = api.get(&format!("/v2/apps/{app}/domains/")).await?;
    let pods: Page = api.get(&format!("/v2/apps/{app}/pods/")).await?;
    let url = url(cx, &app).await?;
    if json.json {
        let mut all = value;
        all["url"] = Value::String(url);
        all["domains"] = Value::Array(domains.results);
        all["pods"] = Value::Array(pods.results);
        return output::json(&all);
    }
    output::heading(&format!("{app} Application"));
    let mut rows = vec![vec!["url:".to_owned(), url]];
    rows.extend(
        ["uuid", "owner", "created", "updated"].map(|f| vec![format!("{f}:"), output::text(&value, f)]),
    );
    output::table(&rows);
    output::line("");
    ps::print(&app, &pods.results);
    output::line("");
    output::heading(&format!("{app} Domains"));
    domains.results.iter().for_each(|d| output::line(&output::text(d, "domain")));
    Ok(())
}

pub(super) async fn open(cx: &Context, arg: &AppArg) -> Result<()> {
    let url = url(cx, &cx.app(arg).await?).await?;
    output::line(&url);
    let opened = Command::new("xdg-open").arg(&url).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !opened.is_ok_and(|status| status.success()) {
        eprintln!("No browser could be started here: open the address above yourself.");
    }
    Ok(())
}

/// Where people reach the app: its first domain.
pub(super) async fn url(cx: &Context, app: &AppName) -> Result<String> {
    let api = cx.api()?;
    let info = cx.platform(&api).await?;
    let domains: Page = api.get(&format!("/v2/apps/{app}/domains/?limit=1")).await?;
    let Some(domain) = domains.results.first() else {
        return Err(ClientError::Other(format!("{app} has no domain; add one with `deis domains:add`")));
    };
    Ok(Context::app_url(&api, &info, &output::text(domain, "domain")))
}

pub(super) async fn destroy(cx: &Context, arg: &AppArg, confirm: Option<String>) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg).await?);
    let answer = if let Some(answer) = confirm {
        answer
    } else {
        output::warn("WARNING: Potentially Destructive Action");
        output::warn(&format!("This command will destroy the application: {app}"));
        output::warn(&format!("To proceed, type \"{app}\" or re-run this command with --confirm={app}"));
        ask("> ", &format!("re-run this command with --confirm={app}"))?
    };
    if answer != app.as_str() {
        return Err(ClientError::Other(format!("App {app} does not match confirm {answer}, aborting.")));
    }
    let path = format!("/v2/apps/{app}/");
    output::action(&format!("Destroying {app}"), DETACHED, api.delete(&path)).await?;
    if arg.app.is_none() {
        git::remove_remotes(cx, &app).await?;
    }
    Ok(())
}
