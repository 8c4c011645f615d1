//! The back ends of one machine: SQLite, processes, a table of routes, log files, slugs in a folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use deis_build::{Artifacts, BuildOutputs, Pipeline, PipelineOptions, SlugFolders};
use deis_core::{
    local::{self, LocalOptions, LocalRunner, LocalScheduler, LocalTool},
    logs::FileLogs,
    model::{AppRef, Tool},
    port::{LogStore, Scheduler as _, TaskRunner, Wake},
    routing::{Endpoints, RouteTable},
    store::SqliteStore,
};

use super::{Backends, Collector, slugs};
use crate::{
    compose::{BoxError, StartError, open},
    datadir::DataDir,
    inherited,
    settings::Settings,
};

/// Opens all of them.
pub(super) async fn open_backends(settings: &Settings, data: &DataDir) -> Result<Backends, StartError> {
    let store = SqliteStore::open(data.join("deis.db")).map_err(open("the database"))?;
    let objects = slugs::open_objects(data)?;
    let (artifacts, outputs) = (Artifacts::new(Arc::clone(&objects)), BuildOutputs::new(objects));
    let folders = slugs::open_folders(data, &artifacts)?;
    slugs::remove_staged(data)?;
    let (wake, endpoints) = (Wake::default(), Endpoints::default());
    let logs: Arc<dyn LogStore> = Arc::new(FileLogs::new(run_dir(data.path())));
    let options = options(data, &folders)
        .with_endpoints(endpoints.clone())
        .with_wake(wake.clone())
        .with_logs(Arc::clone(&logs));
    let scheduler = LocalScheduler::open(options.clone()).await.map_err(open("the processes of apps"))?;
    let runner = LocalRunner::open(options).await.map_err(open("the tasks"))?;
    let runner: Arc<dyn TaskRunner> = Arc::new(runner);
    let builder = builder(settings, data, &runner, artifacts).map_err(open("the builds"))?;
    let routes = Arc::new(RouteTable::new(Some(settings.domain.clone())));
    Ok(Backends {
        store: Arc::new(store),
        scheduler: Arc::new(scheduler),
        router: Arc::clone(&routes) as _,
        runner,
        logs,
        preparer: folders.preparer(),
        builder,
        outputs,
        collector: collector(folders),
        wake,
        routes,
        endpoints,
    })
}

/// This executable is the supervisor of each process.
pub(super) fn become_helper_if_asked() {
    local::shim::run_if_asked();
}

pub(super) async fn stop_apps(data: &DataDir) -> Result<Vec<AppRef>, StartError> {
    let folders = slugs::open_folders(data, &Artifacts::new(slugs::open_objects(data)?))?;
    let options = options(data, &folders);
    let scheduler = LocalScheduler::open(options.clone()).await.map_err(open("the processes"))?;
    let apps = scheduler.apps().await.map_err(open("the processes"))?;
    scheduler.stop_all().await;
    // A detached command belongs to an app as its instances do.
    let runner = LocalRunner::open(options).await.map_err(open("the tasks"))?;
    runner.stop_all().await;
    Ok(apps)
}

pub(super) fn recorded_processes(data: &Path) -> io::Result<BTreeSet<u32>> {
    local::recorded_processes(&run_dir(data))
}

/// Where instances and tasks of a data folder live.
fn run_dir(data: &Path) -> PathBuf {
    data.join("run")
}

/// How the processes of a data folder run.
fn options(data: &DataDir, folders: &SlugFolders) -> LocalOptions {
    // This very executable, also when another version has taken its place on disk by now.
    let builder = LocalTool {
        program: "/proc/self/exe".into(),
        argv0: Some(deis_build::driver::NAME.to_owned()),
        args: Vec::new(),
    };
    let options = LocalOptions::new(run_dir(data.path()), folders.unpacker())
        .with_path(search_path(data))
        .with_tool(Tool::Builder, builder)
        .with_depots(PipelineOptions::depots_of(&build_dir(data)));
    match inherited::open_files() {
        Some(soft_limit) => options.with_open_files(soft_limit),
        None => options,
    }
}

fn build_dir(data: &DataDir) -> PathBuf {
    data.join("build")
}

/// Builds are tasks of this machine, and exchange files with the daemon by folders.
fn builder(
    settings: &Settings,
    data: &DataDir,
    runner: &Arc<dyn TaskRunner>,
    artifacts: Artifacts,
) -> io::Result<Pipeline> {
    let mut options = PipelineOptions::new(build_dir(data));
    options.buildpacks.clone_from(&settings.buildpacks);
    options.schemes.clone_from(&settings.schemes);
    options.limit = settings.build_limit;
    options.max_build_bytes = settings.build.disk;
    options.max_build_entries = settings.build.entries;
    options.max_output_bytes = settings.build.output;
    options.max_app_bytes = settings.build.app;
    options.max_slug_bytes = settings.build.slug;
    options.max_cache_bytes = settings.build.cache;
    options.env = build_env(settings, data);
    Pipeline::new(options, Arc::clone(runner), artifacts)
}

/// Unpacked slugs go once no instance runs from them.
fn collector(folders: SlugFolders) -> Collector {
    Arc::new(move || {
        let folders = folders.clone();
        Box::pin(async move { folders.prune(&[]).await.map(drop).map_err(BoxError::from) })
    })
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
