//! Configuration: list, set, unset.

use deis_core::AppName;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::super::{
    args::{AppArg, JsonArg},
    context::Context,
    error::{ClientError, Result},
    http::Api,
    output, shell,
};
use super::{DETACHED, newest_release};

pub(super) async fn list(cx: &Context, arg: &AppArg, oneline: bool, json: JsonArg) -> Result<()> {
    let app = cx.app(arg).await?;
    print(&cx.api()?, &app, oneline, json).await
}

async fn print(api: &Api, app: &AppName, oneline: bool, json: JsonArg) -> Result<()> {
    let config: Value = api.get(&format!("/v2/apps/{app}/config/")).await?;
    if json.json {
        return output::json(&config);
    }
    let empty = Map::new();
    let values = config.get("values").and_then(Value::as_object).unwrap_or(&empty);
    let pairs =
        values.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
    if oneline {
        let words: Vec<String> = pairs.map(|(key, value)| shell::quote(&format!("{key}={value}"))).collect();
        output::line(&words.join(" "));
    } else {
        output::heading(&format!("{app} Config"));
        output::table(&pairs.map(|(key, value)| vec![key, value]).collect::<Vec<_>>());
    }
    Ok(())
}

pub(super) async fn set(cx: &Context, arg: &AppArg, values: &[String]) -> Result<()> {
    let app = cx.app_to_change(arg).await?;
    let mut map = Map::new();
    for pair in values {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            ClientError::Usage(format!(
                "{pair:?} is not KEY=VALUE; to remove a variable use `deis config:unset {pair}`"
            ))
        })?;
        deis_core::EnvKey::new(key).map_err(|e| ClientError::Usage(e.to_string()))?;
        map.insert(key.to_owned(), Value::String(value.to_owned()));
    }
    change(cx, &app, "Creating config", map).await
}

pub(super) async fn unset(cx: &Context, arg: &AppArg, keys: &[String]) -> Result<()> {
    let app = cx.app_to_change(arg).await?;
    let map = keys.iter().map(|key| (key.clone(), Value::Null)).collect();
    change(cx, &app, "Removing config", map).await
}

async fn change(cx: &Context, app: &AppName, title: &str, values: Map<String, Value>) -> Result<()> {
    let api = cx.api()?;
    let body = json!({"values": values});
    let path = format!("/v2/apps/{app}/config/");
    let made = async {
        match api.done(Method::POST, &path, Some(&body)).await {
            Ok(_) => newest_release(&api, app).await.map(Some),
            // Set to what it was: nothing to do is no failure for a person.
            Err(ClientError::Refused { status: 409, message }) if message.contains("changed nothing") => {
                Ok(None)
            }
            Err(other) => Err(other),
        }
    };
    match output::action(title, DETACHED, made).await? {
        Some(release) => output::line(&format!("{app} is now at {release}")),
        None => output::line("no change: these values are set already"),
    }
    output::line("");
    print(&api, app, false, JsonArg { json: false }).await
}
