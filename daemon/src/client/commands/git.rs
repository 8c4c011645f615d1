//! Git remotes of an app, and the answer to git's question for a password.

use std::{collections::BTreeMap, io::Read as _};

use deis_core::AppName;
use reqwest::Url;

use super::super::{
    args::AppArg,
    context::Context,
    error::{ClientError, Result},
    git::{git, is_repository, own_path, remotes},
    http::{Api, same_place},
    output, shell,
};

pub(super) async fn remote(cx: &Context, arg: &AppArg, name: &str, force: bool, ssh: bool) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app(arg).await?);
    // An unknown app shall not get a remote.
    let _: serde_json::Value = api.get(&format!("/v2/apps/{app}/")).await?;
    add(cx, &api, &app, name, force, ssh).await
}

/// Adds the remote, and for HTTP makes this client answer git's question for a password.
pub(super) async fn add(
    cx: &Context,
    api: &Api,
    app: &AppName,
    name: &str,
    force: bool,
    ssh: bool,
) -> Result<()> {
    if !is_repository() {
        return Err(ClientError::Git("this is no git repository; `git init` makes one".to_owned()));
    }
    let url = Context::git_url(api, &cx.platform(api).await?, app, ssh)?;
    match remotes().into_iter().find(|r| r.name == name) {
        Some(known) if known.url == url => {}
        Some(known) if !force => {
            return Err(ClientError::Git(format!(
                "remote {name} already exists and leads to {}; use --force to replace it, or -r NAME",
                known.url
            )));
        }
        Some(_) => drop(git(&["remote", "set-url", name, &url])?),
        None => drop(git(&["remote", "add", name, &url])?),
    }
    if !ssh {
        install_helper(cx, api)?;
    }
    output::line(&format!("Git remote {name} successfully created for app {app}."));
    output::line(&url);
    Ok(())
}

fn install_helper(cx: &Context, api: &Api) -> Result<()> {
    let key = format!("credential.{}.helper", api.base());
    let program = shell::quote(&own_path()?.to_string_lossy());
    let helper = match &cx.selected {
        Some(profile) => format!("!{program} -c {} git:credential", shell::quote(&absolute(profile))),
        None => format!("!{program} git:credential"),
    };
    // An empty value first: helpers of the user must not store or answer for this host.
    git(&["config", "--local", "--replace-all", &key, ""])?;
    git(&["config", "--local", "--add", &key, &helper]).map(|_| ())
}

/// A profile path must mean the same wherever git runs the helper.
fn absolute(profile: &str) -> String {
    if profile.contains('/') {
        std::path::absolute(profile).map_or_else(|_| profile.to_owned(), |p| p.to_string_lossy().into_owned())
    } else {
        profile.to_owned()
    }
}

pub(super) async fn remove(cx: &Context, arg: &AppArg) -> Result<()> {
    remove_remotes(cx, &cx.app(arg).await?).await
}

/// Removes every remote that leads to the app.
pub(super) async fn remove_remotes(cx: &Context, app: &AppName) -> Result<()> {
    let mut removed = false;
    for (remote, leads_to) in cx.remotes().await? {
        if leads_to == *app {
            git(&["remote", "remove", &remote.name])?;
            removed = true;
        }
    }
    if removed {
        output::line(&format!("Git remotes for app {app} removed."));
    }
    Ok(())
}

/// Speaks git's credential protocol: for our controller's host, the user and the token.
pub(super) fn credential(cx: &Context, operation: &str) -> Result<()> {
    if operation != "get" {
        return Ok(());
    }
    let mut text = String::new();
    let failed = |source| ClientError::File { what: "cannot read git's question".to_owned(), source };
    std::io::stdin().read_to_string(&mut text).map_err(failed)?;
    let asked: BTreeMap<&str, &str> = text.lines().filter_map(|l| l.split_once('=')).collect();
    let profile = cx.profile()?;
    let (Some(protocol), Some(host)) = (asked.get("protocol"), asked.get("host")) else { return Ok(()) };
    let place = Url::parse(&format!("{protocol}://{host}"));
    if let (Ok(place), Ok(controller)) = (place, Url::parse(&profile.controller))
        && same_place(&place, &controller)
    {
        output::line(&format!("username={}", profile.username));
        output::line(&format!("password={}", profile.token));
    }
    Ok(())
}
