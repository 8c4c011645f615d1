//! Dry run of a change.

use serde_json::{Map, Value, json};

use super::super::{
    args::{AppArg, JsonArg},
    context::Context,
    error::{ClientError, Result},
    output,
};
use super::ps;

pub(super) async fn plan(
    cx: &Context,
    arg: &AppArg,
    changes: &[String],
    scale: bool,
    json: JsonArg,
) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app(arg)?);
    let body =
        if scale { json!({"scale": ps::targets(changes)?}) } else { json!({"values": values(changes)?}) };
    let plan: Value = api.post(&format!("/v2/apps/{app}/plan/"), &body).await?;
    if json.json {
        return output::json(&plan);
    }
    output::heading(&format!("{app} Plan"));
    let rows = |field: &str| plan.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    for (number, step) in rows("steps").iter().enumerate() {
        output::line(&format!(
            "{}. {}: {}",
            number + 1,
            output::text(step, "action"),
            output::text(step, "detail")
        ));
    }
    for difference in rows("diff") {
        let path = output::text(&difference, "path");
        match (difference.get("before"), difference.get("after")) {
            (Some(Value::Null) | None, _) => {
                output::line(&format!("+ {path} {}", output::text(&difference, "after")));
            }
            (_, Some(Value::Null) | None) => {
                output::line(&format!("- {path} {}", output::text(&difference, "before")));
            }
            _ => output::line(&format!(
                "~ {path} {} -> {}",
                output::text(&difference, "before"),
                output::text(&difference, "after")
            )),
        }
    }
    output::line("Nothing was changed.");
    Ok(())
}

fn values(changes: &[String]) -> Result<Map<String, Value>> {
    let mut map = Map::new();
    for change in changes {
        if let Some(key) = change.strip_prefix('-') {
            map.insert(key.to_owned(), Value::Null);
        } else if let Some((key, value)) = change.split_once('=') {
            map.insert(key.to_owned(), Value::String(value.to_owned()));
        } else {
            return Err(ClientError::Usage(format!("{change:?} is neither KEY=VALUE nor -KEY")));
        }
    }
    Ok(map)
}
