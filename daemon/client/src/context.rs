//! What every command needs: the profile, the controller, the app that is meant.

use std::{env, path::PathBuf, sync::OnceLock};

use serde::Deserialize;

use super::{
    app_name::AppName,
    args::{AppArg, LimitArg},
    error::{ClientError, Result},
    git::{self, Lead, Remote},
    http::{Api, host_of, is_loopback_name},
    profile::{self, Profile},
};

/// One run of the client.
#[derive(Debug)]
pub(super) struct Context {
    /// What `-c` or `DEIS_PROFILE` said.
    pub selected: Option<String>,
    /// The app that nobody named, and where it comes from.
    found: OnceLock<String>,
}

/// What the platform says about itself.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PlatformInfo {
    /// Domain under which apps live.
    pub domain: String,
    /// Schemes that it serves, the preferred one first.
    #[serde(default)]
    pub schemes: Vec<String>,
    /// Its ports.
    #[serde(default)]
    pub ports: Ports,
}

/// Ports of the platform, as clients reach them.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Ports {
    /// HTTP.
    #[serde(default)]
    pub http: Option<u16>,
    /// HTTPS.
    #[serde(default)]
    pub https: Option<u16>,
    /// Git over SSH.
    #[serde(default)]
    pub ssh: Option<u16>,
}

impl Context {
    /// With what `-c` said.
    pub(super) fn new(profile: Option<String>) -> Self {
        Self { selected: profile.or_else(|| variable("DEIS_PROFILE")), found: OnceLock::new() }
    }

    /// Where the profile file is.
    pub(super) fn profile_path(&self) -> Result<PathBuf> {
        profile::path(self.selected.as_deref())
    }

    /// The profile; exit code 100 without one.
    pub(super) fn profile(&self) -> Result<Profile> {
        profile::load(&self.profile_path()?)
    }

    /// The controller, as the logged-in user.
    pub(super) fn api(&self) -> Result<Api> {
        let profile = self.profile()?;
        Api::new(&profile.controller, Some(profile.token), profile.ssl_verify)
    }

    /// The app that a reading command means: flag, git remote, folder name.
    pub(super) async fn app(&self, arg: &AppArg) -> Result<AppName> {
        if let Some(app) = self.app_meant(arg).await? {
            return Ok(app);
        }
        let folder = env::current_dir().ok().and_then(|d| Some(d.file_name()?.to_str()?.to_lowercase()));
        let app = folder.and_then(|name| AppName::new(name).ok()).ok_or_else(no_app)?;
        let _ = self.found.set(format!("{app} is the name of this folder"));
        Ok(app)
    }

    /// The app that a changing command means: never guessed from the folder's name.
    pub(super) async fn app_to_change(&self, arg: &AppArg) -> Result<AppName> {
        self.app_meant(arg).await?.ok_or_else(no_app)
    }

    async fn app_meant(&self, arg: &AppArg) -> Result<Option<AppName>> {
        let variable = || if arg.remote.is_none() { variable("DEIS_APP_NAME") } else { None };
        if let Some(app) = arg.app.clone().or_else(variable) {
            return AppName::new(app).map(Some).map_err(|e| ClientError::Usage(e.to_string()));
        }
        let mut remotes = self.remotes().await?.into_iter();
        let found = match &arg.remote {
            None => remotes.next(),
            Some(name) => Some(remotes.find(|(remote, _)| remote.name == *name).ok_or_else(|| {
                ClientError::Usage(format!("there is no git remote {name} that leads to this platform"))
            })?),
        };
        Ok(found.map(|(remote, app)| {
            let _ = self.found.set(format!("{app} is the app of the git remote {}", remote.name));
            app
        }))
    }

    /// Says with a refusal which app it is about, if nobody named one.
    pub(super) fn explain(&self, error: ClientError) -> ClientError {
        match (error, self.found.get()) {
            (ClientError::Refused { status, code, message }, Some(found)) if code == "app_not_found" => {
                let message = format!("{message}\n{found}; name another one with -a APP");
                ClientError::Refused { status, code, message }
            }
            (other, _) => other,
        }
    }

    /// The git remotes that lead to this platform, with the app of each. One called `deis` comes first.
    pub(super) async fn remotes(&self) -> Result<Vec<(Remote, AppName)>> {
        let controller = self.profile()?.controller;
        let mut found: Vec<(Remote, Lead)> = git::remotes()
            .into_iter()
            .filter_map(|r| git::lead_of(&r.url, &controller).map(|l| (r, l)))
            .collect();
        if found.iter().any(|(_, lead)| lead.ssh_port.is_some()) {
            let ssh = match self.platform(&self.api()?).await {
                Ok(info) => info.ports.ssh,
                // The original's controllers do not know this question; their builder has a host of its own.
                Err(ClientError::Refused { status: 404, .. }) => None,
                Err(other) => return Err(other),
            };
            found.retain(|(_, lead)| lead.ssh_port.is_none() || lead.ssh_port == ssh);
        }
        found.sort_by_key(|(remote, _)| remote.name != "deis");
        Ok(found.into_iter().map(|(remote, lead)| (remote, lead.app)).collect())
    }

    /// Query part of a list.
    pub(super) fn limit(&self, arg: LimitArg) -> Result<u32> {
        let profile = self.profile()?.response_limit;
        Ok(arg.limit.filter(|n| *n > 0).unwrap_or(if profile == 0 { 100 } else { profile }))
    }

    /// What the platform says about itself.
    pub(super) async fn platform(&self, api: &Api) -> Result<PlatformInfo> {
        api.get("/v2/platform/").await
    }

    /// URL at which people reach an app with this domain.
    pub(super) fn app_url(api: &Api, info: &PlatformInfo, domain: &str) -> String {
        let scheme = info.schemes.first().map_or("http", String::as_str);
        let host = if domain.contains('.') { domain.to_owned() } else { format!("{domain}.{}", info.domain) };
        let port = match scheme {
            "https" => info.ports.https.filter(|p| *p != 443),
            _ => info.ports.http.or_else(|| port_of(api.base())).filter(|p| *p != 80),
        };
        port.map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}"))
    }

    /// URL of an app's git repository.
    pub(super) fn git_url(api: &Api, info: &PlatformInfo, app: &AppName, ssh: bool) -> Result<String> {
        if !ssh {
            return Ok(format!("{}/{app}.git", api.base()));
        }
        let host = host_of(api.base()).unwrap_or_else(|| info.domain.clone());
        // OpenSSH asks glibc, which does not resolve names below localhost.
        let host = if is_loopback_name(&host) { "localhost".to_owned() } else { host };
        let port = info.ports.ssh.ok_or_else(|| {
            ClientError::Other("this platform takes no pushes over SSH; leave out --ssh".to_owned())
        })?;
        Ok(format!("ssh://git@{host}:{port}/{app}.git"))
    }
}

/// A variable of the environment; an empty one is none.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn port_of(url: &str) -> Option<u16> {
    reqwest::Url::parse(url).ok()?.port()
}

fn no_app() -> ClientError {
    ClientError::Usage(
        "which app? Name it with -a APP, or add a remote with `deis git:remote -a APP`".to_owned(),
    )
}
