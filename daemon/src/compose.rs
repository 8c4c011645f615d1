//! The composition root: the engine, its back ends and the listeners, put together from settings.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use deis_build::{Artifacts, Pipeline, PipelineOptions, git::Limits};
use deis_core::{
    Actor, Endpoints, PageQuery, Platform, PlatformOptions, Username, Workers,
    local::{LocalOptions, LocalRunner, LocalScheduler, RouteTable},
    logs::FileLogs,
    port::{LogStore, Wake},
    store::SqliteStore,
};
use object_store::local::LocalFileSystem;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accounts::{Bootstrap, Passwords, TokenSecret},
    api::{self, ApiState, PlatformInfo, PlatformPorts},
    datadir::DataDir,
    git::{http::GitHttp, ssh::GitSsh},
    inherited, metrics,
    proxy::{Proxy, ProxyMetrics, ProxyOptions},
    push::{Pushes, Repos},
    settings::Settings,
};

/// A daemon that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] crate::datadir::DataDirError),
    /// A port is taken.
    #[error("{what} cannot listen on {address}; choose another address with {flag}")]
    Listen {
        /// What wanted to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// How to change it.
        flag: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A part of the data folder cannot be used.
    #[error("cannot open {what}")]
    Open {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    /// The engine.
    pub platform: Platform,
    /// The processes of apps.
    pub scheduler: Arc<LocalScheduler>,
    /// What the daemon says about itself.
    pub info: Arc<PlatformInfo>,
    /// The text of the bootstrap token, where one is needed.
    pub bootstrap: Option<String>,
    /// What tokens are derived from.
    pub secret: Arc<TokenSecret>,
    data: DataDir,
    workers: Workers,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Listeners, bound before anything else is done, so that a taken port changes nothing.
struct Listeners {
    http: TcpListener,
    ssh: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

/// How long requests wait, after a start, for the routes of all apps; those that are known are served then.
const CATCH_UP: Duration = Duration::from_secs(10);

impl Daemon {
    /// Starts everything.
    pub async fn start(settings: &Settings) -> Result<Self, StartError> {
        let data = DataDir::open(&settings.data)?;
        let listeners = bind(settings).await?;
        let http = local(&listeners.http)?;
        let ssh = listeners.ssh.as_ref().map(local).transpose()?;

        let engine = Engine::open(settings, &data).await?;
        let secret =
            Arc::new(TokenSecret::load_or_create(&data.join("secret")).map_err(open("the server's secret"))?);
        let (bootstrap, text) = bootstrap(settings, &engine.platform, &data).await?;
        let info = Arc::new(PlatformInfo {
            domain: settings.domain.to_string(),
            schemes: vec!["http".to_owned()],
            ports: PlatformPorts { http: http.port(), ssh: ssh.map(|a| a.port()) },
        });
        let pushes = engine.pushes(settings, &data, &info).map_err(open("the repositories"))?;
        pushes.recover().await.map_err(open("the open pushes"))?;

        let state = ApiState {
            platform: engine.platform.clone(),
            passwords: Passwords::default(),
            secret: Arc::clone(&secret),
            registration: settings.registration,
            bootstrap,
            info: Arc::clone(&info),
        };
        let git = GitHttp { platform: engine.platform.clone(), pushes: pushes.clone() };
        let routes = crate::git::http::router(git).merge(api::router(state));
        let counts = Arc::new(ProxyMetrics::default());
        let complete = CancellationToken::new();
        let proxy = Proxy::new(
            ProxyOptions::new(settings.domain.as_str().to_ascii_lowercase()),
            http.port(),
            engine.endpoints.clone(),
            Arc::clone(&engine.routes),
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

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
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
        tasks.spawn(engine.housekeeping(pushes, stop.clone()));
        Ok(Self {
            platform: engine.platform,
            scheduler: engine.scheduler,
            info,
            bootstrap: text,
            secret,
            data,
            workers,
            stop,
            tasks,
        })
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

/// The engine with its back ends.
struct Engine {
    platform: Platform,
    scheduler: Arc<LocalScheduler>,
    runner: Arc<LocalRunner>,
    routes: Arc<RouteTable>,
    endpoints: Endpoints,
    artifacts: Artifacts,
}

impl Engine {
    async fn open(settings: &Settings, data: &DataDir) -> Result<Self, StartError> {
        let store = SqliteStore::open(data.join("deis.db")).map_err(open("the database"))?;
        let artifacts = open_artifacts(data)?;
        let (wake, endpoints) = (Wake::default(), Endpoints::default());
        let logs: Arc<dyn LogStore> = Arc::new(FileLogs::new(data.join("run")));
        let options = local_options(data, &artifacts)
            .with_endpoints(endpoints.clone())
            .with_wake(wake.clone())
            .with_logs(Arc::clone(&logs));
        let scheduler = LocalScheduler::open(options.clone()).await.map_err(open("the processes of apps"))?;
        let runner = LocalRunner::open(options).await.map_err(open("the tasks"))?;
        let (scheduler, runner) = (Arc::new(scheduler), Arc::new(runner));
        let routes = Arc::new(RouteTable::new(Some(settings.domain.clone())));
        let platform = Platform::builder()
            .store(Arc::new(store))
            .scheduler(Arc::clone(&scheduler) as _)
            .router(Arc::clone(&routes) as _)
            .runner(Arc::clone(&runner) as _)
            .logs(logs)
            .unpacker(artifacts.unpacker())
            .clock(Arc::new(crate::clock::now))
            .wake(wake)
            .options(
                PlatformOptions::default()
                    .with_deploy_deadline(settings.deploy_timeout)
                    .with_reserved_names(settings.reserved.iter().cloned()),
            )
            .build()
            .map_err(open("the engine"))?;
        Ok(Self { platform, scheduler, runner, routes, endpoints, artifacts })
    }

    fn pushes(
        &self,
        settings: &Settings,
        data: &DataDir,
        info: &PlatformInfo,
    ) -> Result<Pushes, Box<dyn std::error::Error + Send + Sync>> {
        let mut options = PipelineOptions::new(data.join("build"), std::env::current_exe()?);
        options.buildpacks.clone_from(&settings.buildpacks);
        options.schemes.clone_from(&settings.schemes);
        options.limit = settings.build_limit;
        options.env = build_env(settings, data);
        let pipeline = Pipeline::new(options, Arc::clone(&self.runner) as _, self.artifacts.clone())?;
        let repos = Repos::open_all(data.join("repos"))?;
        let limits = Limits { pack_bytes: settings.push_limit, ..Limits::default() };
        let port = if info.ports.http == 80 { String::new() } else { format!(":{}", info.ports.http) };
        let url = format!("http://{{app}}.{}{port}", info.domain);
        Ok(Pushes::new(self.platform.clone(), pipeline, repos, limits, url))
    }

    /// Removes what nobody needs any more: repositories and caches of apps that are gone, unpacked slugs that no
    /// instance uses.
    fn housekeeping(
        &self,
        pushes: Pushes,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (platform, artifacts) = (self.platform.clone(), self.artifacts.clone());
        async move {
            let mut tick = tokio::time::interval(Duration::from_secs(300));
            loop {
                tokio::select! {
                    _ = tick.tick() => {}
                    () = stop.cancelled() => return,
                }
                if let Err(error) = tidy(&platform, &artifacts, &pushes).await {
                    tracing::warn!(error = %crate::telemetry::chain(&*error), "housekeeping failed; the next one tries again");
                }
            }
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn tidy(platform: &Platform, artifacts: &Artifacts, pushes: &Pushes) -> Result<(), BoxError> {
    let system = Actor::System { name: Username::new("deis")? };
    let all = platform.session(system).apps(PageQuery { offset: 0, limit: usize::MAX }).await?;
    let alive: BTreeSet<_> = all.items.iter().map(|app| app.uid).collect();
    pushes.prune(alive).await?;
    artifacts.prune(&[]).await?;
    Ok(())
}

/// The slugs of a data folder.
pub(crate) fn open_artifacts(data: &DataDir) -> Result<Artifacts, StartError> {
    let objects = data.join("objects");
    std::fs::create_dir_all(&objects).map_err(open("the object store"))?;
    let store = LocalFileSystem::new_with_prefix(objects).map_err(open("the object store"))?;
    let store = Arc::new(store.with_automatic_cleanup(true).with_fsync(true));
    Artifacts::new(store, data.join("unpacked")).map_err(open("the unpacked slugs"))
}

/// How the processes of a data folder run.
pub(crate) fn local_options(data: &DataDir, artifacts: &Artifacts) -> LocalOptions {
    let options = LocalOptions::new(data.join("run"), artifacts.unpacker()).with_path(search_path(data));
    match inherited::open_files() {
        Some(soft_limit) => options.with_open_files(soft_limit),
        None => options,
    }
}

/// Our own tools first, then whatever the daemon finds its own in: apps use the host's toolchains.
fn search_path(data: &DataDir) -> String {
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let own = std::env::var("PATH").unwrap_or_else(|_| usual.to_owned());
    format!("{}:{own}", data.join("bin").display())
}

fn build_env(settings: &Settings, data: &DataDir) -> BTreeMap<String, String> {
    let passed = settings.build_env.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
    passed.chain([("PATH".to_owned(), search_path(data))]).collect()
}

async fn bind(settings: &Settings) -> Result<Listeners, StartError> {
    let listen = async |what, address, flag| {
        TcpListener::bind(address).await.map_err(|source| StartError::Listen { what, address, flag, source })
    };
    Ok(Listeners {
        http: listen("HTTP", settings.http, "--http-listen").await?,
        ssh: match settings.ssh {
            Some(address) => Some(listen("SSH", address, "--ssh-listen (or `--ssh-listen off`)").await?),
            None => None,
        },
        metrics: match settings.metrics {
            Some(address) => {
                Some(listen("metrics", address, "--metrics-listen (or `--metrics-listen off`)").await?)
            }
            None => None,
        },
    })
}

/// A one-time token for the first registration, where others can reach the daemon and nobody has registered.
async fn bootstrap(
    settings: &Settings,
    platform: &Platform,
    data: &DataDir,
) -> Result<(Option<Arc<Bootstrap>>, Option<String>), StartError> {
    let file: PathBuf = data.join("bootstrap-token");
    if settings.http.ip().is_loopback() || platform.has_users().await.map_err(open("the database"))? {
        let _ = std::fs::remove_file(file);
        return Ok((None, None));
    }
    let (token, text) = Bootstrap::create(&file, crate::clock::now()).map_err(open("the bootstrap token"))?;
    Ok((Some(Arc::new(token)), Some(text)))
}

fn local(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(open("a listener"))
}

/// Wraps a cause.
pub(crate) fn open<E: Into<BoxError>>(what: &'static str) -> impl Fn(E) -> StartError {
    move |source| StartError::Open { what, source: source.into() }
}
