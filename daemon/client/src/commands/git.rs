//! Git remotes of an app, and the answer to git's question for a password.

use std::{collections::BTreeMap, io::Read as _};

use reqwest::Url;

use super::super::{
    app_name::AppName,
    args::{AppArg, GitCommand},
    context::{Context, PlatformInfo},
    error::{ClientError, Result},
    git::{Remote, git, is_repository, own_path, remotes},
    http::{Api, same_place},
    output, shell,
};

pub(super) async fn run(cx: &Context, command: GitCommand) -> Result<()> {
    match command {
        GitCommand::Remote { app, remote: name, force, ssh } => {
            remote(cx, &AppArg { app, remote: None }, &RemoteOptions { name, force, ssh }).await
        }
        GitCommand::Remove { app } => remove(cx, &app).await,
        GitCommand::Credential { operation } => credential(cx, &operation),
    }
}

/// The remote that is to be made.
pub(super) struct RemoteOptions {
    pub(super) name: String,
    pub(super) force: bool,
    pub(super) ssh: bool,
}

async fn remote(cx: &Context, arg: &AppArg, wanted: &RemoteOptions) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app(arg).await?);
    // An unknown app shall not get a remote.
    let _: serde_json::Value = api.get(&format!("/v2/apps/{app}/")).await?;
    let platform = cx.platform(&api).await?;
    add(cx, &api, &platform, &app, wanted)
}

/// Refuses a remote's name that is taken by anything but this app's remote.
pub(super) fn must_be_free(
    api: &Api,
    platform: &PlatformInfo,
    app: Option<&str>,
    wanted: &RemoteOptions,
) -> Result<()> {
    let app = app.and_then(|app| AppName::new(app).ok());
    let url = app.map(|app| Context::git_url(api, platform, &app, wanted.ssh)).transpose()?;
    match known(&wanted.name) {
        Some(known) if url.as_ref() != Some(&known.url) => Err(taken(&known, "--no-remote to add none")),
        _ => Ok(()),
    }
}

fn known(name: &str) -> Option<Remote> {
    remotes().into_iter().find(|r| r.name == name)
}

fn taken(known: &Remote, way_out: &str) -> ClientError {
    let Remote { name, url } = known;
    ClientError::Git(format!(
        "remote {name} already exists and leads to {url}; use -r NAME for another, or {way_out}"
    ))
}

/// Adds the remote, and for HTTP makes this client answer git's question for a password.
pub(super) fn add(
    cx: &Context,
    api: &Api,
    platform: &PlatformInfo,
    app: &AppName,
    wanted: &RemoteOptions,
) -> Result<()> {
    if !is_repository() {
        return Err(ClientError::Git("this is no git repository; `git init` makes one".to_owned()));
    }
    let RemoteOptions { name, force, ssh } = wanted;
    let url = Context::git_url(api, platform, app, *ssh)?;
    let done = match known(name) {
        Some(known) if known.url == url => format!("Git remote {name} leads to app {app} already."),
        Some(known) if !force => return Err(taken(&known, "--force to replace it")),
        Some(_) => {
            git(&["remote", "set-url", name, &url])?;
            format!("Git remote {name} now leads to app {app}.")
        }
        None => {
            git(&["remote", "add", name, &url])?;
            format!("Git remote {name} successfully created for app {app}.")
        }
    };
    if !ssh {
        install_helper(cx, api.base())?;
    }
    output::line(&done);
    output::line(&url);
    Ok(())
}

/// Git's setting that names who answers for a controller.
fn helper_key(controller: &str) -> String {
    format!("credential.{controller}.helper")
}

fn install_helper(cx: &Context, controller: &str) -> Result<()> {
    let key = helper_key(controller);
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

async fn remove(cx: &Context, arg: &AppArg) -> Result<()> {
    let app = cx.app(arg).await?;
    match &arg.remote {
        Some(name) => {
            remove_those(cx, |remote, _| remote.name == *name).await?;
            output::line(&format!("Git remote {name} of app {app} removed."));
        }
        None if remove_remotes(cx, &app).await? => {}
        None => output::line(&format!("There is no git remote for app {app} here.")),
    }
    Ok(())
}

/// Removes every remote that leads to the app, and says so; whether there was one.
pub(super) async fn remove_remotes(cx: &Context, app: &AppName) -> Result<bool> {
    let found = remove_those(cx, |_, leads_to| leads_to == app).await?;
    if found {
        output::line(&format!("Git remotes for app {app} removed."));
    }
    Ok(found)
}

/// Removes remotes that lead to this platform, and what they needed; whether there was one.
async fn remove_those(cx: &Context, which: impl Fn(&Remote, &AppName) -> bool) -> Result<bool> {
    let (those, others): (Vec<_>, Vec<_>) =
        cx.remotes().await?.into_iter().partition(|(remote, leads_to)| which(remote, leads_to));
    for (remote, _) in &those {
        git(&["remote", "remove", &remote.name])?;
    }
    if !those.is_empty() && others.is_empty() {
        // Git says no when there is no such setting, as after remotes over SSH.
        let _ = git(&["config", "--local", "--unset-all", &helper_key(&cx.profile()?.controller)]);
    }
    Ok(!those.is_empty())
}

/// Speaks git's credential protocol: for our controller's host, the user and the token.
fn credential(cx: &Context, operation: &str) -> Result<()> {
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
