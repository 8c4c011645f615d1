//! A running daemon.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use deis_core::{Error, Platform, Workers};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    StartError,
    engine::Engine,
    garbage::collect_garbage,
    listeners::{Addresses, Listeners},
    open,
};
use crate::{
    accounts::{Bootstrap, Passwords, TokenSecret},
    api::{self, ApiState, Attachments, PlatformInfo, PlatformPorts, Throttles},
    datadir::DataDir,
    git::{http::GitHttp, ssh::GitSsh},
    metrics,
    proxy::{Proxy, ProxyMetrics, ProxyOptions},
    push::Pushes,
    settings::Settings,
};

/// How long requests wait, after a start, for the routes of all apps; those that are known are served then.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Pause before open pushes are looked at again, on a full disk.
const RECOVER_AGAIN: Duration = Duration::from_secs(5);

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    /// The engine.
    pub platform: Platform,
    /// What the daemon says about itself.
    pub info: Arc<PlatformInfo>,
    /// The text of the bootstrap token, where one is needed.
    pub bootstrap: Option<String>,
    listens: Addresses,
    data: DataDir,
    workers: Workers,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Daemon {
    /// Starts everything.
    pub async fn start(settings: &Settings) -> Result<Self, StartError> {
        let listeners = match Listeners::bind(settings).await {
            Ok(listeners) => listeners,
            Err(taken) => {
                // Most likely by the daemon of this very folder, which is the better answer.
                DataDir::check_free(&settings.data)?;
                return Err(taken);
            }
        };
        let listens = listeners.addresses()?;
        let data = DataDir::open(&settings.data)?;

        let engine = Engine::open(settings, &data).await?;
        let secret =
            TokenSecret::load_or_create(&data.join("secret")).map_err(open("the server's secret"))?;
        let (bootstrap, text) = bootstrap(settings, &engine.platform, &data).await?;
        let info = Arc::new(PlatformInfo {
            domain: settings.domain.to_string(),
            schemes: vec!["http".to_owned()],
            ports: PlatformPorts { http: listens.http.port(), ssh: listens.ssh.map(|a| a.port()) },
        });
        let pushes = engine.pushes(settings, &data, &info).map_err(open("the repositories"))?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        recover(&pushes, &tasks, &stop).await?;

        let state = ApiState {
            platform: engine.platform.clone(),
            passwords: Passwords::default(),
            throttles: Throttles::new(
                settings.account_login_attempts,
                settings.address_login_attempts,
                settings.address_registrations,
            ),
            secret: Arc::new(secret),
            registration: settings.registration,
            bootstrap,
            info: Arc::clone(&info),
            attachments: Attachments::default(),
            outputs: engine.backends.outputs.clone(),
        };
        let git = GitHttp { platform: engine.platform.clone(), pushes: pushes.clone() };
        let routes = crate::git::http::router(git).merge(api::router(state));
        let counts = Arc::new(ProxyMetrics::default());
        let complete = CancellationToken::new();
        let proxy = Proxy::new(
            ProxyOptions {
                trusted_proxies: settings.trusted_proxies.clone(),
                max_address_connections: settings.address_connections,
                max_address_platform_connections: settings.address_platform_connections,
                ..proxy_options(settings)
            },
            listens.http.port(),
            engine.backends.endpoints.clone(),
            Arc::clone(&engine.backends.routes),
            routes,
            Arc::clone(&counts),
            complete.clone(),
        );
        let server = match &listeners.ssh {
            Some(_) => Some(
                GitSsh::new(engine.platform.clone(), pushes.clone(), &data.join("ssh"))
                    .map_err(open("the host keys"))?,
            ),
            None => None,
        };

        let workers = engine.platform.start();
        let caught_up = workers.caught_up();
        tasks.spawn(async move {
            let _ = tokio::time::timeout(CATCH_UP, caught_up).await;
            complete.cancel();
        });
        let token = stop.clone();
        tasks.spawn(async move { proxy.serve(listeners.http, token).await });
        if let Some((server, listener)) = server.zip(listeners.ssh) {
            let token = stop.clone();
            tasks.spawn(async move { server.serve(listener, token).await });
        }
        if let Some(listener) = listeners.metrics {
            tasks.spawn(metrics::serve(listener, engine.platform.clone(), counts, stop.clone()));
        }
        let collector = Arc::clone(&engine.backends.collector);
        tasks.spawn(collect_garbage(engine.platform.clone(), collector, pushes, stop.clone()));
        Ok(Self { platform: engine.platform, info, bootstrap: text, listens, data, workers, stop, tasks })
    }

    /// Every address that it listens on, and for what.
    pub fn listens(&self) -> String {
        self.listens.to_string()
    }

    /// The data folder.
    pub fn data(&self) -> &DataDir {
        &self.data
    }

    /// Stops listening and reconciling. Apps keep running.
    pub async fn stop(self) {
        self.shut_down().await;
    }

    /// The same, and keeps the data folder for whoever stops the apps.
    pub async fn shut_down(self) -> DataDir {
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(15), self.tasks.wait()).await;
        self.workers.stop().await;
        self.data
    }
}

/// The proxy's usual limits, and no more connections than there are descriptors for: one to the client, one to the app.
/// What is kept back is for the platform's own requests, the store, git and the processes of apps.
fn proxy_options(settings: &Settings) -> ProxyOptions {
    const KEPT_BACK: u64 = 2048;
    let options = ProxyOptions::new(settings.domain.as_str().to_ascii_lowercase());
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let room = files.map_or(u64::MAX, |files| (files.saturating_sub(KEPT_BACK) / 2).max(64));
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let max_connections = options.max_connections.min(room);
    let max_proxy_connections = options.max_proxy_connections.min(room);
    ProxyOptions { max_connections, max_proxy_connections, ..options }
}

/// Closes or follows the pushes of a daemon that was killed: now, or where the disk is full as soon as there is room.
async fn recover(pushes: &Pushes, tasks: &TaskTracker, stop: &CancellationToken) -> Result<(), StartError> {
    let mut done = BTreeSet::new();
    match pushes.recover(&mut done).await {
        Err(Error::Full(_)) => {}
        other => return other.map_err(open("the open pushes")),
    }
    tracing::error!("the disk is full: open pushes are closed once there is room");
    let (pushes, stop) = (pushes.clone(), stop.clone());
    let again = async move {
        loop {
            tokio::time::sleep(RECOVER_AGAIN).await;
            match pushes.recover(&mut done).await {
                Ok(()) => return tracing::info!("the pushes that were open are closed or followed"),
                Err(error) => {
                    let error = crate::telemetry::chain(&error);
                    tracing::warn!(%error, "open pushes could not be closed yet");
                }
            }
        }
    };
    tasks.spawn(async move { stop.run_until_cancelled(again).await });
    Ok(())
}

/// A one-time token for the first registration, where others can reach the daemon and nobody has registered.
async fn bootstrap(
    settings: &Settings,
    platform: &Platform,
    data: &DataDir,
) -> Result<(Option<Arc<Bootstrap>>, Option<String>), StartError> {
    let file: PathBuf = data.join("bootstrap-token");
    if settings.http.ip().is_loopback() || platform.has_users().await.map_err(open("the database"))? {
        let _ = tokio::fs::remove_file(file).await;
        return Ok((None, None));
    }
    let (token, text) = Bootstrap::create(&file, crate::clock::now()).map_err(open("the bootstrap token"))?;
    Ok((Some(Arc::new(token)), Some(text)))
}
