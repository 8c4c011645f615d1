//! Versions and short names.

use reqwest::Method;
use serde_json::json;

use super::super::{args::JsonArg, context::Context, error::Result, http::Api, output};

pub(super) async fn version(cx: &Context, all: bool, json: JsonArg) -> Result<()> {
    let mut versions = json!({"client": env!("CARGO_PKG_VERSION")});
    if all {
        let profile = cx.profile()?;
        let api = Api::new(&profile.controller, None, profile.ssl_verify)?;
        let answer = api.send(Method::GET, "/healthz", None).await?;
        versions["controller"] = json!({
            "url": api.base(),
            "version": answer.platform_version,
            "healthy": answer.status.is_success(),
        });
    }
    if json.json {
        return output::json(&versions);
    }
    output::line(&format!("deis {}", output::text(&versions, "client")));
    if let Some(controller) = versions.get("controller") {
        let (url, version) = (output::text(controller, "url"), output::text(controller, "version"));
        let version = if version.is_empty() { "unknown" } else { &version };
        let state = if controller["healthy"] == true { "healthy" } else { "not healthy" };
        output::line(&format!("platform {version} at {url} ({state})"));
    }
    Ok(())
}

pub(super) fn shortcuts() {
    let shortcuts = [
        ("create", "apps:create"),
        ("destroy", "apps:destroy"),
        ("info", "apps:info"),
        ("login", "auth:login"),
        ("logout", "auth:logout"),
        ("logs", "apps:logs"),
        ("open", "apps:open"),
        ("passwd", "auth:passwd"),
        ("pull", "builds:create"),
        ("register", "auth:register"),
        ("restart", "ps:restart"),
        ("rollback", "releases:rollback"),
        ("run", "apps:run"),
        ("scale", "ps:scale"),
        ("whoami", "auth:whoami"),
    ];
    output::table(&shortcuts.map(|(short, long)| vec![short.to_owned(), "->".to_owned(), long.to_owned()]));
}
