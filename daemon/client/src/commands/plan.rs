//! Dry run of a change.

use serde_json::{Map, Value, json};

use super::super::{
    args::{AppArg, JsonArg},
    context::Context,
    error::{ClientError, Result},
    output,
};
use super::ps;

/// The changes that are asked about.
pub(super) struct PlannedChange {
    pub(super) changes: Vec<String>,
    pub(super) unset: Vec<String>,
    pub(super) scale: bool,
}

pub(super) async fn plan(cx: &Context, arg: &AppArg, wanted: &PlannedChange, json: JsonArg) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app(arg).await?);
    let body = if wanted.scale {
        json!({"scale": ps::targets(&wanted.changes)?})
    } else {
        json!({"values": values(wanted)?})
    };
    let plan: Value = match api.post(&format!("/v2/apps/{app}/plan/"), &body).await {
        // Set to what it is: a plan without steps, as for a scale to what runs.
        Err(error) if error.has_code("unchanged") => json!({"steps": [], "diff": []}),
        other => other?,
    };
    if json.json {
        return output::json(&plan);
    }
    output::heading(&format!("{app} Plan"));
    let rows = |field: &str| plan.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let (steps, differences) = (rows("steps"), rows("diff"));
    if steps.is_empty() && differences.is_empty() {
        output::line("There is nothing to do: it is so already.");
    }
    for (number, step) in steps.iter().enumerate() {
        output::line(&format!(
            "{}. {}: {}",
            number + 1,
            output::text(step, "action"),
            output::text(step, "detail")
        ));
    }
    for difference in differences {
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

fn values(wanted: &PlannedChange) -> Result<Map<String, Value>> {
    let mut map: Map<String, Value> = wanted.unset.iter().map(|key| (key.clone(), Value::Null)).collect();
    for change in &wanted.changes {
        let Some((key, value)) = change.split_once('=') else {
            return Err(ClientError::Usage(format!("{change:?} is not KEY=VALUE")));
        };
        map.insert(key.to_owned(), Value::String(value.to_owned()));
    }
    Ok(map)
}
