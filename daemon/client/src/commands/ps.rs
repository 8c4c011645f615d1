//! Processes: list, scale, restart.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::{
    app_name::AppName,
    args::{AppArg, JsonArg, PsCommand},
    context::Context,
    error::{ClientError, Result},
    http::{Api, segment},
    output,
};
use super::{DETACHED, ListPage};

/// Most processes of one type.
const MAX_SCALE: u32 = 10_000;

pub(super) async fn run(cx: &Context, command: PsCommand) -> Result<()> {
    match command {
        PsCommand::List { app, json } => list(cx, &app, json).await,
        PsCommand::Restart { target, app } => restart(cx, &app, target).await,
        PsCommand::Attach { name, app } => super::run::attach(cx, &app, &name).await,
        PsCommand::Stop { name, app } => stop(cx, &app, &name).await,
        PsCommand::Scale { app, scales } => scale(cx, &app, &scales).await,
    }
}

async fn list(cx: &Context, arg: &AppArg, json: JsonArg) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app(arg).await?);
    let mut value: Value = api.get(&format!("/v2/apps/{app}/pods/")).await?;
    let runs = runs(&api, &app).await?;
    if json.json {
        // Beside the processes, which are all that scripts of the original look at.
        if let Some(members) = value.as_object_mut() {
            members.insert("runs".to_owned(), Value::Array(runs));
        }
        return output::json(&value);
    }
    let page: ListPage = serde_json::from_value(value).map_err(|e| ClientError::BadAnswer(e.to_string()))?;
    print(&app, &page.results);
    if !runs.is_empty() {
        output::line("--- run:");
    }
    for run in runs {
        let since = output::ago(&output::text(&run, "since"));
        output::line(&format!("{} {} ({since})", output::text(&run, "name"), output::text(&run, "state")));
    }
    Ok(())
}

/// The commands that run.
async fn runs(api: &Api, app: &AppName) -> Result<Vec<Value>> {
    let mut runs = match api.get::<ListPage>(&format!("/v2/apps/{app}/runs")).await {
        Ok(page) => page.results,
        // A controller that knows no runs has none; the original's says no code.
        Err(ClientError::Refused { status: 404, code, .. }) if matches!(&*code, "" | "not_found") => {
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    runs.retain(|run| output::text(run, "state") != "ended");
    Ok(runs)
}

async fn stop(cx: &Context, arg: &AppArg, name: &str) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg).await?);
    output::action("Stopping", DETACHED, api.delete(&format!("/v2/apps/{app}/runs/{}", segment(name)?))).await
}

/// Prints processes grouped by type.
pub(super) fn print(app: &AppName, pods: &[Value]) {
    output::heading(&format!("{app} Processes"));
    let mut types: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for pod in pods {
        types.entry(output::text(pod, "type")).or_default().push(pod);
    }
    for (process, pods) in types {
        output::line(&format!("--- {process}:"));
        for pod in pods {
            let (name, state) = (output::text(pod, "name"), output::text(pod, "state"));
            output::line(&format!("{name} {state} ({})", output::text(pod, "release")));
        }
    }
}

async fn scale(cx: &Context, arg: &AppArg, scales: &[String]) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg).await?);
    let body = Value::Object(targets(scales)?);
    let path = format!("/v2/apps/{app}/scale/");
    let drink = std::env::var("DEIS_DRINK_OF_CHOICE").unwrap_or_else(|_| "coffee".to_owned());
    let title = format!("Scaling processes... but first, {drink}!");
    let change = async {
        api.done(reqwest::Method::POST, &path, Some(&body)).await?;
        api.get(&format!("/v2/apps/{app}/pods/")).await
    };
    let page: ListPage = output::action(&title, DETACHED, change).await?;
    print(&app, &page.results);
    Ok(())
}

/// `TYPE=N` pairs as a JSON object.
pub(super) fn targets(scales: &[String]) -> Result<Map<String, Value>> {
    let mut map = Map::new();
    for pair in scales {
        let bad = || ClientError::Usage(format!("{pair:?} is not TYPE=N, as in web=2"));
        let (process, text) = pair.split_once('=').ok_or_else(bad)?;
        let count: i64 = text.parse().map_err(|_| bad())?;
        if !(0..=i64::from(MAX_SCALE)).contains(&count) {
            let text = format!(
                "{pair:?}: the number must be greater than or equal to zero, and at most {MAX_SCALE}"
            );
            return Err(ClientError::Usage(text));
        }
        if map.insert(process.to_owned(), Value::from(count)).is_some() {
            return Err(ClientError::Usage(format!("{process} is given twice")));
        }
    }
    Ok(map)
}

async fn restart(cx: &Context, arg: &AppArg, target: Option<String>) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg).await?);
    let path = match target.as_deref() {
        None => format!("/v2/apps/{app}/pods/restart/"),
        Some(target) => {
            let pods: ListPage = api.get(&format!("/v2/apps/{app}/pods/")).await?;
            format!("/v2/apps/{app}/pods/{}/restart/", matching(&app, &pods.results, target)?)
        }
    };
    let call = async {
        let pods: Vec<Value> = api.post(&path, &Value::Object(Map::new())).await?;
        Ok(pods)
    };
    let pods = output::action("Restarting processes", DETACHED, call).await?;
    if pods.is_empty() {
        output::line("Could not find any processes to restart");
        return Ok(());
    }
    print(&app, &pods);
    Ok(())
}

/// The part of a path that stands for a process (by its name, also without the app's) or a process type.
fn matching(app: &AppName, pods: &[Value], target: &str) -> Result<String> {
    let is_named = |pod: &&Value| {
        let name = output::text(pod, "name");
        name == target || name.strip_prefix(app.as_str()).and_then(|n| n.strip_prefix('-')) == Some(target)
    };
    if let Some(pod) = pods.iter().find(is_named) {
        let (process, name) = (output::text(pod, "type"), output::text(pod, "name"));
        return Ok(format!("{}/{}", segment(&process)?, segment(&name)?));
    }
    if pods.iter().any(|pod| output::text(pod, "type") == target) {
        return segment(target);
    }
    Err(ClientError::Other(format!(
        "Could not find any processes to restart: {app} runs none of that name or type: {target:?} \
         (see `deis ps -a {app}`)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_is_found_by_the_name_that_is_listed() {
        let app = AppName::new("my-app").unwrap();
        let pods = [
            serde_json::json!({"name": "my-app-mail-queue-3-ab1de", "type": "mail-queue"}),
            serde_json::json!({"name": "my-app-web-3-zz9zz", "type": "web"}),
        ];
        let path = |target| matching(&app, &pods, target).ok();
        assert_eq!(
            path("my-app-mail-queue-3-ab1de").as_deref(),
            Some("mail-queue/my-app-mail-queue-3-ab1de")
        );
        assert_eq!(path("web-3-zz9zz").as_deref(), Some("web/my-app-web-3-zz9zz"));
        assert_eq!(path("web").as_deref(), Some("web"));
        assert_eq!(path("worker"), None);
        assert_eq!(path("../releases/rollback?"), None);
    }

    #[test]
    fn scales_are_pairs() {
        assert_eq!(targets(&["web=2".to_owned()]).unwrap()["web"], 2);
        for wrong in [&["web"][..], &["web=x"], &["web=-1"], &["web=10001"], &["web=1", "web=2"]] {
            let wrong: Vec<String> = wrong.iter().map(|w| (*w).to_owned()).collect();
            assert!(matches!(targets(&wrong), Err(ClientError::Usage(_))), "{wrong:?}");
        }
    }
}
