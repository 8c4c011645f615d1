//! Versions and short names.

use reqwest::Method;

use super::super::{context::Context, error::Result, http::Api, output};

pub(super) async fn version(cx: &Context, all: bool) -> Result<()> {
    output::line(concat!("deis ", env!("CARGO_PKG_VERSION")));
    if all {
        let profile = cx.profile()?;
        let api = Api::new(&profile.controller, None, profile.ssl_verify)?;
        let answer = api.send(Method::GET, "/healthz", None).await?;
        let state = if answer.status.is_success() { "healthy" } else { "not healthy" };
        let version = answer.platform_version.unwrap_or_else(|| "unknown".to_owned());
        output::line(&format!("platform {version} at {} ({state})", api.base()));
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
