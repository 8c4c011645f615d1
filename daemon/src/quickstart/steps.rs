//! The steps to a live app. Each is taken only where its result is missing, so that whatever ended the last time – the
//! end, Ctrl-C, a power cut – the next goes on from there.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use deis_core::{Actor, AppHandle, AppName, PageQuery, Username};

use super::{
    APP, BoxError, USER, probe,
    sample::{PYTHON, STATIC, Sample},
    shell::Shell,
    tools,
};
use crate::{compose::Daemon, datadir::write_privately};

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QuickstartState {
    /// The app answers.
    Live,
    /// The app is there and does not answer.
    Silent,
    /// The data folder is somebody's, and not the quick start's: nothing was changed.
    Foreign,
}

/// What the steps need to know.
pub(super) struct Steps<'a> {
    daemon: &'a Daemon,
    address: SocketAddr,
    url: String,
    folder: PathBuf,
    shell: Shell,
}

impl<'a> Steps<'a> {
    /// Steps on a daemon that listens at this address.
    pub(super) fn new(daemon: &'a Daemon, listens: SocketAddr) -> Self {
        let address = reachable(listens);
        let host = if address.ip().is_loopback() { "localhost".to_owned() } else { address.ip().to_string() };
        let folder = daemon.data().join("quickstart");
        let shell = Shell::new(daemon.data().join("bin"), folder.join("client.json"), folder.clone(), false);
        Self { daemon, address, url: controller(&host, address.port()), folder, shell }
    }

    /// Takes all that are missing.
    pub(super) async fn take(&self) -> Result<QuickstartState, BoxError> {
        if !self.profile().is_file() && self.daemon.platform.has_users().await? && !self.password().is_file()
        {
            return Ok(QuickstartState::Foreign);
        }
        fs::create_dir_all(&self.folder)?;
        self.sign_in().await?;
        let work = self.folder.join(APP);
        self.commit(&work).await?;
        self.create(&work).await?;
        if self.is_deployed().await? {
            println!("Found the data of last time.\n");
        } else {
            self.shell.at(&work).git(&["push", "deis", "main"]).await?;
        }
        Ok(if self.answers().await { QuickstartState::Live } else { QuickstartState::Silent })
    }

    /// The controller's address, as clients are told.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    async fn sign_in(&self) -> Result<(), BoxError> {
        if !self.daemon.platform.has_users().await? {
            let password = uuid::Uuid::new_v4().simple().to_string();
            // Written before it is used: without it nobody could log in after an end between the two.
            write_privately(&self.password(), password.as_bytes())?;
            let mut step = vec!["register", &self.url, "--username", USER, "--password", &password];
            step.extend(["--email", "you@example.com"]);
            if let Some(token) = &self.daemon.bootstrap {
                step.extend(["--bootstrap-token", token]);
            }
            self.shell.deis(&step).await?;
        } else if !self.profile().is_file() {
            let password = fs::read_to_string(self.password())?;
            self.shell.deis(&["login", &self.url, "--username", USER, "--password", &password]).await?;
        } else {
            self.follow_port()?;
        }
        Ok(())
    }

    /// The profile leads to where the daemon listens now.
    fn follow_port(&self) -> Result<(), BoxError> {
        let mut saved: serde_json::Value = serde_json::from_str(&fs::read_to_string(self.profile())?)?;
        if saved.get("controller").and_then(|c| c.as_str()) != Some(&self.url) {
            saved["controller"] = self.url.as_str().into();
            write_privately(&self.profile(), saved.to_string().as_bytes())?;
        }
        Ok(())
    }

    /// A working tree with at least one commit; what a person made of it stays.
    async fn commit(&self, work: &Path) -> Result<(), BoxError> {
        let quiet = self.shell.at(work).quiet();
        if work.join(".git").is_dir() && quiet.git(&["rev-parse", "--verify", "HEAD"]).await.is_ok() {
            return free_config(work).await;
        }
        println!("# A sample app, in {}:\n", work.display());
        if work.exists() {
            free_config(work).await?;
            return self.commit_in(work).await;
        }
        // Made beside its place: of a git that was killed midway, locks remain that would be in the way of the next.
        let unfinished = self.folder.join(format!("{APP}.unfinished"));
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        self.commit_in(&unfinished).await?;
        Ok(fs::rename(&unfinished, work)?)
    }

    async fn commit_in(&self, work: &Path) -> Result<(), BoxError> {
        pick().write(work)?;
        let shell = self.shell.at(work);
        shell.git(&["init", "--quiet", "--initial-branch=main"]).await?;
        shell.git(&["add", "."]).await?;
        shell.git(&["commit", "--quiet", "--message", "A sample app"]).await?;
        Ok(())
    }

    /// The app, and a remote that leads to it.
    async fn create(&self, work: &Path) -> Result<(), BoxError> {
        let shell = self.shell.at(work);
        if self.app().await?.is_none() {
            shell.deis(&["create", APP]).await?;
        }
        let remote = shell.quiet().git(&["remote", "get-url", "deis"]).await.unwrap_or_default();
        if !remote.starts_with(&format!("{}/", self.url)) {
            shell.deis(&["git:remote", "--app", APP, "--force"]).await?;
        }
        Ok(())
    }

    async fn is_deployed(&self) -> Result<bool, BoxError> {
        let Some(app) = self.app().await? else { return Ok(false) };
        let builds = app.builds(PageQuery { offset: 0, limit: 1 }).await?;
        Ok(builds.total > 0)
    }

    async fn app(&self) -> Result<Option<AppHandle>, BoxError> {
        let system = Actor::System { name: Username::new("deis")? };
        match self.daemon.platform.session(system).app(&AppName::new(APP)?).await {
            Ok(app) => Ok(Some(app)),
            Err(deis_core::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the app answers, which takes as long as its processes take to start.
    async fn answers(&self) -> bool {
        let host = format!("{APP}.{}", self.daemon.info.domain);
        for _ in 0..300 {
            if probe::get(self.address, &host).await.is_ok_and(|(status, _)| status == 200) {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        false
    }

    fn profile(&self) -> PathBuf {
        self.folder.join("client.json")
    }

    fn password(&self) -> PathBuf {
        self.folder.join("password")
    }
}

/// Takes away the lock that a step left on the settings of a repository when it was killed. Whoever lives holds it for
/// a moment only, which is waited for.
async fn free_config(work: &Path) -> Result<(), BoxError> {
    let lock = work.join(".git/config.lock");
    for _ in 0..100 {
        if !lock.exists() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    Ok(fs::remove_file(&lock)?)
}

/// The controller's URL.
pub(super) fn controller(host: &str, port: u16) -> String {
    format!("http://{host}:{port}")
}

/// Where this machine reaches what listens there.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}

/// Python where it is installed, a folder of files otherwise.
fn pick() -> Sample {
    if tools::is_installed("python3") { PYTHON } else { STATIC }
}
