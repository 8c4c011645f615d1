//! Processes: list, scale, restart.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::{
    args::{AppArg, JsonArg},
    context::Context,
    error::{ClientError, Result},
    http::Api,
    output,
};
use super::{DETACHED, Page};

pub(super) async fn list(cx: &Context, arg: &AppArg, json: JsonArg) -> Result<()> {
    let app = cx.app(arg)?;
    let value: Value = cx.api()?.get(&format!("/v2/apps/{app}/pods/")).await?;
    if json.json {
        return output::json(&value);
    }
    let page: Page = serde_json::from_value(value).map_err(|e| ClientError::BadAnswer(e.to_string()))?;
    print(&app, &page.results);
    Ok(())
}

/// Prints processes grouped by type.
pub(super) fn print(app: &str, pods: &[Value]) {
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

pub(super) async fn scale(cx: &Context, arg: &AppArg, scales: &[String]) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg)?);
    let body = Value::Object(targets(scales)?);
    let path = format!("/v2/apps/{app}/scale/");
    let drink = std::env::var("DEIS_DRINK_OF_CHOICE").unwrap_or_else(|_| "coffee".to_owned());
    let title = format!("Scaling processes... but first, {drink}!");
    output::action(
        title.trim_end_matches("..."),
        DETACHED,
        api.done(reqwest::Method::POST, &path, Some(&body)),
    )
    .await?;
    show(&api, &app).await
}

/// `TYPE=N` pairs as a JSON object.
pub(super) fn targets(scales: &[String]) -> Result<Map<String, Value>> {
    let mut map = Map::new();
    for pair in scales {
        let bad = || ClientError::Usage(format!("{pair:?} is not TYPE=N, as in web=2"));
        let (process, count) = pair.split_once('=').ok_or_else(bad)?;
        let count: i64 = count.parse().map_err(|_| bad())?;
        map.insert(process.to_owned(), Value::from(count));
    }
    Ok(map)
}

pub(super) async fn restart(cx: &Context, arg: &AppArg, target: Option<String>) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg)?);
    let path = match target.as_deref() {
        None => format!("/v2/apps/{app}/pods/restart/"),
        // A process has two hyphens behind its app's name, a type has not.
        Some(name) => match process_type_of(&app, name) {
            Some(process) => format!("/v2/apps/{app}/pods/{process}/{name}/restart/"),
            None => format!("/v2/apps/{app}/pods/{name}/restart/"),
        },
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

/// The process type in a process's name (`app-web-12345678-abcde`, or the same without the app).
fn process_type_of<'a>(app: &str, name: &'a str) -> Option<&'a str> {
    let rest = name.strip_prefix(app).and_then(|r| r.strip_prefix('-')).unwrap_or(name);
    let (rest, suffix) = rest.rsplit_once('-')?;
    let (process, number) = rest.rsplit_once('-')?;
    (suffix.len() == 5 && number.len() >= 8 && number.bytes().all(|b| b.is_ascii_digit())).then_some(process)
}

async fn show(api: &Api, app: &str) -> Result<()> {
    let page: Page = api.get(&format!("/v2/apps/{app}/pods/")).await?;
    print(app, &page.results);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_tells_its_type() {
        assert_eq!(process_type_of("my-app", "my-app-mail-queue-123456789-ab1de"), Some("mail-queue"));
        assert_eq!(process_type_of("my-app", "web-123456789-ab1de"), Some("web"));
        assert_eq!(process_type_of("my-app", "web"), None);
        assert_eq!(process_type_of("my-app", "mail-queue-x"), None);
    }

    #[test]
    fn scales_are_pairs() {
        assert_eq!(targets(&["web=2".to_owned()]).unwrap()["web"], 2);
        assert!(matches!(targets(&["web".to_owned()]), Err(ClientError::Usage(_))));
    }
}
