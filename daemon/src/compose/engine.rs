//! The engine with its back ends, on a data folder.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use deis_build::{Artifacts, Pipeline, PipelineOptions, SlugFolders, git::Limits};
use deis_core::{
    Platform, PlatformOptions, Tool,
    local::{LocalOptions, LocalRunner, LocalScheduler, LocalTool},
    logs::FileLogs,
    port::{LogStore, Wake},
    routing::{Endpoints, RouteTable},
    store::SqliteStore,
};
use object_store::local::LocalFileSystem;

use super::{BoxError, StartError, open};
use crate::{
    api::PlatformInfo,
    datadir::DataDir,
    inherited,
    push::{Pushes, Repos},
    settings::Settings,
};

/// The engine with its back ends.
pub(super) struct Engine {
    pub(super) platform: Platform,
    runner: Arc<LocalRunner>,
    pub(super) routes: Arc<RouteTable>,
    pub(super) endpoints: Endpoints,
    artifacts: Artifacts,
    pub(super) slugs: SlugFolders,
}

impl Engine {
    pub(super) async fn open(settings: &Settings, data: &DataDir) -> Result<Self, StartError> {
        let store = SqliteStore::open(data.join("deis.db")).map_err(open("the database"))?;
        let artifacts = open_artifacts(data)?;
        let slugs = open_slugs(data, &artifacts)?;
        remove_staged(&data.join("objects")).map_err(open("the object store"))?;
        let (wake, endpoints) = (Wake::default(), Endpoints::default());
        let logs: Arc<dyn LogStore> = Arc::new(FileLogs::new(data.join("run")));
        let options = local_options(data, &slugs)
            .with_endpoints(endpoints.clone())
            .with_wake(wake.clone())
            .with_logs(Arc::clone(&logs));
        let scheduler = LocalScheduler::open(options.clone()).await.map_err(open("the processes of apps"))?;
        let runner = LocalRunner::open(options).await.map_err(open("the tasks"))?;
        let runner = Arc::new(runner);
        let routes = Arc::new(RouteTable::new(Some(settings.domain.clone())));
        let platform = Platform::builder()
            .store(Arc::new(store))
            .scheduler(Arc::new(scheduler))
            .router(Arc::clone(&routes) as _)
            .runner(Arc::clone(&runner) as _)
            .logs(logs)
            .preparer(slugs.preparer())
            .clock(Arc::new(crate::clock::now))
            .wake(wake)
            .options(
                PlatformOptions::default()
                    .with_deploy_deadline(settings.deploy_timeout)
                    .with_reserved_names(settings.reserved.iter().cloned()),
            )
            .build()
            .map_err(open("the engine"))?;
        Ok(Self { platform, runner, routes, endpoints, artifacts, slugs })
    }

    pub(super) fn pushes(
        &self,
        settings: &Settings,
        data: &DataDir,
        info: &PlatformInfo,
    ) -> Result<Pushes, BoxError> {
        let mut options = PipelineOptions::new(data.join("build"));
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
}

/// The slugs of a data folder.
pub(crate) fn open_artifacts(data: &DataDir) -> Result<Artifacts, StartError> {
    let objects = data.join("objects");
    std::fs::create_dir_all(&objects).map_err(open("the object store"))?;
    let store = LocalFileSystem::new_with_prefix(objects).map_err(open("the object store"))?;
    Ok(Artifacts::new(Arc::new(store.with_automatic_cleanup(true).with_fsync(true))))
}

/// The same, unpacked.
pub(crate) fn open_slugs(data: &DataDir, artifacts: &Artifacts) -> Result<SlugFolders, StartError> {
    SlugFolders::open(artifacts.clone(), data.join("unpacked")).map_err(open("the unpacked slugs"))
}

/// Removes what a killed daemon was writing into the object store: its files are staged as `name#1` beside their place.
/// Nobody else has the data folder.
fn remove_staged(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_staged(&entry.path())?;
        } else if entry
            .file_name()
            .to_string_lossy()
            .rsplit_once('#')
            .is_some_and(|(_, n)| n.parse::<u64>().is_ok())
        {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// How the processes of a data folder run.
pub(crate) fn local_options(data: &DataDir, slugs: &SlugFolders) -> LocalOptions {
    // This very executable, also when another version has taken its place on disk by now.
    let builder = LocalTool {
        program: "/proc/self/exe".into(),
        argv0: Some(deis_build::driver::NAME.to_owned()),
        args: Vec::new(),
    };
    let options = LocalOptions::new(data.join("run"), slugs.unpacker())
        .with_path(search_path(data))
        .with_tool(Tool::Builder, builder)
        .with_depots(PipelineOptions::depots_of(&data.join("build")));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_being_written_is_removed_and_what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let slugs = folder.path().join("slugs");
        std::fs::create_dir(&slugs).unwrap();
        for name in ["a.tar.zst", "a.tar.zst#1", "b#x"] {
            std::fs::write(slugs.join(name), "").unwrap();
        }
        remove_staged(folder.path()).unwrap();
        assert!(slugs.join("a.tar.zst").exists() && slugs.join("b#x").exists());
        assert!(!slugs.join("a.tar.zst#1").exists());
    }
}
