//! Configuration: list, set, unset.

use serde_json::{Map, Value, json};

use super::super::{
    app_name::AppName,
    args::{AppArg, ConfigCommand},
    context::Context,
    error::{ClientError, Result},
    http::Api,
    output, shell,
};
use super::{DETACHED, newest_release};

pub(super) async fn run(cx: &Context, command: ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::List { app, oneline, diff, json } => {
            let form = match (json.json, oneline, diff) {
                (true, ..) => Form::Json,
                (_, true, _) => Form::OneLine,
                (.., true) => Form::Diff,
                _ => Form::Table,
            };
            list(cx, &app, form).await
        }
        ConfigCommand::Set { app, values } => set(cx, &app, &values).await,
        ConfigCommand::Unset { app, keys } => unset(cx, &app, &keys).await,
    }
}

/// How a configuration is printed.
#[derive(Clone, Copy)]
enum Form {
    Table,
    OneLine,
    Diff,
    Json,
}

async fn list(cx: &Context, arg: &AppArg, form: Form) -> Result<()> {
    let app = cx.app(arg).await?;
    print(&app, &read(&cx.api()?, &app).await?, form)
}

async fn read(api: &Api, app: &AppName) -> Result<Value> {
    api.get(&format!("/v2/apps/{app}/config/")).await
}

fn print(app: &AppName, config: &Value, form: Form) -> Result<()> {
    let empty = Map::new();
    let values = config.get("values").and_then(Value::as_object).unwrap_or(&empty);
    let pairs =
        values.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
    match form {
        Form::Json => output::json(config)?,
        Form::OneLine => {
            let words: Vec<String> =
                pairs.map(|(key, value)| shell::quote_on_one_line(&format!("{key}={value}"))).collect();
            output::line(&words.join(" "));
        }
        Form::Diff => pairs.for_each(|(key, value)| {
            output::line(&format!("{key}={}", value.replace('\n', "\\n")));
        }),
        Form::Table => {
            output::heading(&format!("{app} Config"));
            output::table(&pairs.map(|(key, value)| vec![key, value]).collect::<Vec<_>>());
        }
    }
    Ok(())
}

async fn set(cx: &Context, arg: &AppArg, values: &[String]) -> Result<()> {
    let app = cx.app_to_change(arg).await?;
    let mut map = Map::new();
    for pair in values {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            ClientError::Usage(format!(
                "{pair:?} is not KEY=VALUE; to remove a variable use `deis config:unset {pair}`"
            ))
        })?;
        check_key(key)?;
        map.insert(key.to_owned(), Value::String(value.to_owned()));
    }
    change(cx, &app, "Creating config", map).await
}

/// Tells a slip of the shell (`deis config:set "A =b"`) from what the controller refuses.
fn check_key(key: &str) -> Result<()> {
    let starts_well = !key.starts_with(|c: char| c.is_ascii_digit());
    if !key.is_empty() && starts_well && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(());
    }
    let rule = "letters, digits and underscores, and no digit first";
    Err(ClientError::Usage(format!("config key {key:?} is not valid: {rule}")))
}

async fn unset(cx: &Context, arg: &AppArg, keys: &[String]) -> Result<()> {
    let app = cx.app_to_change(arg).await?;
    let map = keys.iter().map(|key| (key.clone(), Value::Null)).collect();
    change(cx, &app, "Removing config", map).await
}

async fn change(cx: &Context, app: &AppName, title: &str, values: Map<String, Value>) -> Result<()> {
    let api = cx.api()?;
    let body = json!({"values": values});
    let path = format!("/v2/apps/{app}/config/");
    let made = async {
        match api.post::<Value>(&path, &body).await {
            // The answer is the very config that was made.
            Ok(config) => Ok((Some(newest_release(&api, app).await?), config)),
            // Set to what it was: nothing to do is no failure for a person.
            Err(error) if error.has_code("unchanged") => Ok((None, read(&api, app).await?)),
            Err(other) => Err(other),
        }
    };
    let (release, config) = output::action(title, DETACHED, made).await?;
    match release {
        Some(release) => output::line(&format!("{app} is now at {release}")),
        None => output::line("no change: these values are set already"),
    }
    output::line("");
    print(app, &config, Form::Table)
}
