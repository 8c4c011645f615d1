//! What every command needs: the profile, the controller, the app that is meant.

use std::{env, path::PathBuf};

use serde::Deserialize;

use super::{
    args::{AppArg, LimitArg},
    error::{ClientError, Result},
    git,
    http::{Api, host_of, is_loopback_name},
    profile::{self, Profile},
};

/// One run of the client.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// What `-c` or `DEIS_PROFILE` said.
    pub selected: Option<String>,
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
    pub(super) fn app(&self, arg: &AppArg) -> Result<String> {
        if let Some(app) = self.app_from_remote(arg)? {
            return Ok(app);
        }
        let folder = env::current_dir().ok().and_then(|d| Some(d.file_name()?.to_str()?.to_lowercase()));
        folder.ok_or_else(no_app)
    }

    /// The app that a changing command means: never guessed from the folder's name.
    pub(super) fn app_to_change(&self, arg: &AppArg) -> Result<String> {
        self.app_from_remote(arg)?.ok_or_else(no_app)
    }

    fn app_from_remote(&self, arg: &AppArg) -> Result<Option<String>> {
        if let Some(app) = &arg.app {
            return valid_app(app).map(Some);
        }
        let controller = self.profile()?.controller;
        let mut remotes = git::remotes();
        // A remote called `deis` wins over others that lead to the same platform.
        remotes.sort_by_key(|r| r.name != "deis");
        Ok(remotes.iter().find_map(|r| git::app_of(&r.url, &controller)))
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
    pub(super) fn git_url(api: &Api, info: &PlatformInfo, app: &str, ssh: bool) -> Result<String> {
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

fn port_of(url: &str) -> Option<u16> {
    reqwest::Url::parse(url).ok()?.port()
}

fn valid_app(app: &str) -> Result<String> {
    deis_core::AppName::new(app).map(String::from).map_err(|e| ClientError::Usage(e.to_string()))
}

fn no_app() -> ClientError {
    ClientError::Usage(
        "which app? Name it with -a APP, or add a remote with `deis git:remote -a APP`".to_owned(),
    )
}
