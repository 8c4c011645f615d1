//! What people do to an app, as values: carried out by the platform, and worked out on paper by the oracle.

use std::collections::BTreeMap;

use deis_core::{
    AppHandle, BuildSpec, Change, ConfigPatch, Digest, DomainName, EnvKey, Error, ProcessType,
    ReleaseVersion, RestartScope,
    model::{Instance, InstanceName},
};

/// A build: its processes do what their commands say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TestBuild {
    /// `web` and `worker`, both work.
    Good,
    /// The same from other bytes.
    Better,
    /// `web` never comes up.
    Crashes,
    /// Only `web`.
    OnlyWeb,
    /// `web` and `cmd`, either of which can take the requests.
    WebAndCmd,
    /// Only `cmd`.
    OnlyCmd,
    /// `web`, and a release command that works.
    Release,
    /// `web`, and a release command that ends with 1.
    ReleaseFails,
    /// `web`, and a release command that works and takes longer than everything else.
    ReleaseSlow,
    /// No machine has room for `web`.
    NoRoom,
    /// The image of `web` takes long to fetch.
    Pulls,
}

impl TestBuild {
    const ALL: [Self; 11] = [
        Self::Good,
        Self::Better,
        Self::Crashes,
        Self::OnlyWeb,
        Self::WebAndCmd,
        Self::OnlyCmd,
        Self::Release,
        Self::ReleaseFails,
        Self::ReleaseSlow,
        Self::NoRoom,
        Self::Pulls,
    ];

    /// Process types and commands.
    fn procfile(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Good | Self::Better => &[("web", "serve"), ("worker", "serve")],
            Self::Crashes => &[("web", "crash"), ("worker", "serve")],
            Self::OnlyWeb => &[("web", "serve")],
            Self::WebAndCmd => &[("web", "serve"), ("cmd", "serve")],
            Self::OnlyCmd => &[("cmd", "serve")],
            Self::Release => &[("web", "serve"), ("release", "release-works")],
            Self::ReleaseFails => &[("web", "serve"), ("release", "release-fails")],
            Self::ReleaseSlow => &[("web", "serve"), ("release", "release-slow")],
            Self::NoRoom => &[("web", "no-room"), ("worker", "serve")],
            Self::Pulls => &[("web", "pull")],
        }
    }

    /// The process types that run, with their commands.
    pub(super) fn types(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.procfile().iter().copied().filter(|(process, _)| *process != "release")
    }

    /// Whether it declares a release command.
    pub(super) fn has_release_command(self) -> bool {
        self.procfile().iter().any(|(process, _)| *process == "release")
    }

    /// Digest of its bytes.
    pub(super) fn digest(self) -> Digest {
        Digest::of(format!("{self:?}").as_bytes())
    }

    /// The one with this digest.
    pub(super) fn of(digest: &Digest) -> Option<Self> {
        Self::ALL.into_iter().find(|build| build.digest() == *digest)
    }

    fn spec(self) -> BuildSpec {
        let processes = self.procfile().iter().map(|(p, c)| (process(p), (*c).to_owned())).collect();
        BuildSpec::slug(self.digest(), processes)
    }
}

/// One thing that somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Deploys a build.
    Deploy(TestBuild),
    /// Sets the config value `A` to a number.
    Config(u32),
    /// Scales a process type.
    Scale(&'static str, u32),
    /// Goes back to a release.
    Rollback(u32),
    /// Restarts all processes.
    Restart,
    /// Restarts the oldest web process.
    RestartOne,
    /// Adds the domain with this number.
    Domain(u32),
    /// Destroys the app.
    Destroy,
}

impl Action {
    /// Does it. `running` is what runs now.
    pub(super) async fn carry_out(self, app: &AppHandle, running: &[Instance]) -> Result<Change, Error> {
        match self {
            Self::Deploy(build) => app.deploy(build.spec()).await,
            Self::Config(value) => {
                app.config_set(ConfigPatch::default().set(config_key(), value.to_string())).await
            }
            Self::Scale(name, count) => app.scale(BTreeMap::from([(process(name), count)])).await,
            Self::Rollback(version) => app.rollback(Some(ReleaseVersion(version))).await,
            Self::Restart => app.restart(RestartScope::All).await,
            Self::RestartOne => match oldest_web(running) {
                Some(name) => app.restart(RestartScope::Instance(name)).await,
                None => Ok(Change::default()),
            },
            Self::Domain(number) => app.domain_add(domain(number)).await.map(|_| Change::default()),
            Self::Destroy => app.destroy().await.map(|()| Change::default()),
        }
    }

    /// Whether it makes a release.
    pub(super) fn makes_release(self) -> bool {
        matches!(self, Self::Deploy(_) | Self::Config(_) | Self::Rollback(_))
    }
}

/// The config value that [`Action::Config`] sets.
pub(super) fn config_key() -> EnvKey {
    EnvKey::new("A").unwrap()
}

/// The domain that [`Action::Domain`] adds.
pub(super) fn domain(number: u32) -> DomainName {
    DomainName::new(format!("www{number}.example.com")).unwrap()
}

/// The instance that [`Action::RestartOne`] restarts.
pub(super) fn oldest_web(running: &[Instance]) -> Option<InstanceName> {
    running.iter().filter(|i| i.process == ProcessType::web()).map(|i| i.name.clone()).min()
}

pub(super) fn process(name: &str) -> ProcessType {
    ProcessType::new(name).unwrap()
}
