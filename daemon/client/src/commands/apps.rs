//! Apps: create, list, show, open, destroy.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::super::{
    app_name::AppName,
    args::{AppArg, AppsCommand, JsonArg, LimitArg},
    context::Context,
    error::{ClientError, Result},
    git::is_repository,
    output,
    prompt::ask,
};
use super::{DETACHED, ListPage, all, git, logs, plan, print_list, ps};

pub(super) async fn run(cx: &Context, command: AppsCommand) -> Result<()> {
    match command {
        AppsCommand::Create { id, no_remote, buildpack, remote, ssh } => {
            let wanted = (!no_remote).then_some(git::RemoteOptions { name: remote, force: false, ssh });
            create(cx, id, buildpack, wanted).await
        }
        AppsCommand::List { limit, json } => list(cx, limit, json).await,
        AppsCommand::Info { app, json } => info(cx, &app, json).await,
        AppsCommand::Open { app } => open(cx, &app).await,
        AppsCommand::Logs(args) => logs::logs(cx, args).await,
        AppsCommand::Run { app, run } => super::run::run(cx, &app, &run).await,
        AppsCommand::Destroy { app, confirm } => destroy(cx, &app, confirm).await,
        AppsCommand::Plan { app, changes, unset, scale, json } => {
            plan::plan(cx, &app, &plan::PlannedChange { changes, unset, scale }, json).await
        }
    }
}

async fn create(
    cx: &Context,
    id: Option<String>,
    buildpack: Option<String>,
    remote: Option<git::RemoteOptions>,
) -> Result<()> {
    let api = cx.api()?;
    let platform = match &remote {
        Some(wanted) if is_repository() => {
            let platform = cx.platform(&api).await?;
            // Before anything is made: a name that is taken is for the person to decide.
            git::must_be_free(&api, &platform, id.as_deref(), wanted)?;
            Some(platform)
        }
        _ => None,
    };
    let body = id.map_or_else(|| json!({}), |id| json!({"id": id}));
    let created = async {
        let app: Value = api.post("/v2/apps/", &body).await?;
        let app =
            AppName::new(output::text(&app, "id")).map_err(|e| ClientError::BadAnswer(e.to_string()))?;
        if let Some(url) = buildpack {
            let body = json!({"values": {"BUILDPACK_URL": url}});
            api.done(reqwest::Method::POST, &format!("/v2/apps/{app}/config/"), Some(&body)).await?;
        }
        Ok(app)
    };
    let app = output::action("Creating Application", DETACHED, created).await?;
    output::line(&format!("created {app}"));
    match (remote, platform) {
        (None, _) => output::line(&format!(
            "If you want to add a git remote for this app later, use `deis git:remote -a {app}`"
        )),
        (Some(_), None) => {
            output::line(&format!("This is no git repository; in one, use `deis git:remote -a {app}`"));
        }
        (Some(wanted), Some(platform)) => git::add(cx, &api, &platform, &app, &wanted)?,
    }
    Ok(())
}

async fn list(cx: &Context, limit: LimitArg, json: JsonArg) -> Result<()> {
    print_list(cx, "/v2/apps/", limit, json, "Apps", |app| vec![output::text(app, "id")]).await
}

async fn info(cx: &Context, arg: &AppArg, json: JsonArg) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app(arg).await?);
    let mut value: Value = api.get(&format!("/v2/apps/{app}/")).await?;
    let domains = all(&api, &format!("/v2/apps/{app}/domains/")).await?;
    let pods: ListPage = api.get(&format!("/v2/apps/{app}/pods/")).await?;
    let platform = cx.platform(&api).await?;
    let url = address(&domains).map(|domain| Context::app_url(&api, &platform, &domain));
    if json.json {
        value["url"] = json!(url);
        value["domains"] = Value::Array(domains);
        value["pods"] = Value::Array(pods.results);
        return output::json(&value);
    }
    output::heading(&format!("{app} Application"));
    let mut rows =
        vec![vec!["url:".to_owned(), url.unwrap_or_else(|| "none, for it has no domain".to_owned())]];
    rows.extend(["uuid", "owner"].map(|f| vec![format!("{f}:"), output::text(&value, f)]));
    rows.extend(["created", "updated"].map(|f| vec![format!("{f}:"), output::ago(&output::text(&value, f))]));
    output::table(&rows);
    output::line("");
    ps::print(&app, &pods.results);
    output::line("");
    output::heading(&format!("{app} Domains"));
    for domain in &domains {
        output::line(&output::text(domain, "domain"));
    }
    Ok(())
}

/// The first domain that is one: a wildcard is no address.
fn address(domains: &[Value]) -> Option<String> {
    domains.iter().map(|d| output::text(d, "domain")).find(|name| !name.starts_with('*'))
}

async fn open(cx: &Context, arg: &AppArg) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app(arg).await?);
    let platform = cx.platform(&api).await?;
    let domains = all(&api, &format!("/v2/apps/{app}/domains/")).await?;
    let Some(domain) = address(&domains) else {
        return Err(ClientError::Other(format!("{app} has no domain; add one with `deis domains:add`")));
    };
    let url = Context::app_url(&api, &platform, &domain);
    output::line(&url);
    let opened = Command::new("xdg-open").arg(&url).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !opened.is_ok_and(|status| status.success()) {
        eprintln!("No browser could be started here: open the address above yourself.");
    }
    Ok(())
}

async fn destroy(cx: &Context, arg: &AppArg, confirm: Option<String>) -> Result<()> {
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
