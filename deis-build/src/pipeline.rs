//! From a commit to something that can be released: export, build task, slug, object store.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use deis_core::{
    AppRef, AppUid, Attempt, BuildSource, BuildSpec, Digest, Exit, GitSource, ProcessType, Program, Task,
    TaskKind, TaskName, TaskState, parse_procfile,
    port::{StopScope, TaskRunner, output_channel},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    artifacts::Artifacts,
    buildpack::{
        driver, embedded,
        job::{Job, Outcome},
    },
    error::BuildError,
    git::{Budget, Oid, Repository, without_password},
    key::{STACK, build_key},
    slug::EPOCH,
};

/// Where a build's lines go, for the person who waits.
pub type LineSender = mpsc::Sender<String>;

/// How builds are run.
#[derive(Clone, Debug)]
pub struct PipelineOptions {
    /// Folder for work in progress, caches and the embedded buildpacks.
    pub folder: PathBuf,
    /// The operator's buildpacks, tried in the order of their names before the embedded ones.
    pub buildpacks: Option<PathBuf>,
    /// The program that is run as the build: this very one, or one that calls [`driver::run_if_asked`].
    pub program: PathBuf,
    /// Environment of every build besides what the contract names: `PATH`, proxies, certificates.
    pub env: BTreeMap<String, String>,
    /// URL schemes that a `BUILDPACK_URL` may have.
    pub schemes: Vec<String>,
    /// Longest build.
    pub limit: Duration,
    /// Largest cache of an app that is kept, in bytes.
    pub most_cache: u64,
}

impl PipelineOptions {
    /// Builds below `folder` by `program`, with https buildpacks only, for 15 minutes at most.
    pub fn new(folder: impl Into<PathBuf>, program: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            buildpacks: None,
            program: program.into(),
            env: BTreeMap::new(),
            schemes: vec!["https".to_owned()],
            limit: Duration::from_secs(900),
            most_cache: 2 << 30,
        }
    }
}

/// Turns commits into builds. Clones share one.
#[derive(Clone, Debug)]
pub struct Pipeline(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: PipelineOptions,
    runner: Arc<dyn TaskRunner>,
    artifacts: Artifacts,
    embedded: Vec<PathBuf>,
}

/// What to build.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// For which app.
    pub app: AppRef,
    /// Where the source is.
    pub repository: Repository,
    /// Which commit.
    pub commit: Oid,
    /// The app's config.
    pub config: BTreeMap<String, String>,
}

/// What is remembered under a build key.
#[derive(Serialize, Deserialize)]
struct Remembered {
    digest: Digest,
    processes: BTreeMap<ProcessType, String>,
    has_procfile: bool,
}

impl Pipeline {
    /// A pipeline whose builds are tasks of `runner`. Removes what a killed process left of its builds.
    pub fn new(
        options: PipelineOptions,
        runner: Arc<dyn TaskRunner>,
        artifacts: Artifacts,
    ) -> std::io::Result<Self> {
        let work = options.folder.join("work");
        fs::create_dir_all(&work)?;
        remove_aside(&options.folder, &work)?;
        fs::create_dir_all(&work)?;
        fs::create_dir_all(options.folder.join("cache"))?;
        let embedded = embedded::install(&options.folder)?;
        Ok(Self(Arc::new(Inner { options, runner, artifacts, embedded })))
    }

    /// Builds a commit. Lines go to `output` as they come; a reader that went away does not end the build.
    pub async fn build(&self, request: &BuildRequest, output: &LineSender) -> Result<BuildSpec, BuildError> {
        let sha = request.commit.to_string();
        let (own, asked) = (self.clone(), request.clone());
        let (fetch, key) = blocking(move || {
            check_source(&asked)?;
            let fetch = own.buildpack_url(&asked.config)?;
            let tree = asked.repository.tree_of(&asked.commit)?;
            let key = build_key(&tree, &asked.config, fetch.as_ref(), own.0.options.buildpacks.as_deref());
            Ok((fetch, key))
        })
        .await?;
        if let Some(known) = self.recall(key.as_ref()).await {
            let text = format!("-----> This source was built before: using slug {}", known.digest.short());
            let _ = output.send(text).await;
            return Ok(spec(known, sha, key));
        }
        let work =
            tempfile::Builder::new().prefix("build-").tempdir_in(self.0.options.folder.join("work"))?;
        let built = async {
            let built = self.run(request, fetch, work.path(), output).await?;
            self.0.artifacts.put(&built.digest, &Job::slug(work.path())).await?;
            if let (Some(key), Ok(value)) = (&key, serde_json::to_vec(&built)) {
                self.0.artifacts.remember(key, value.into()).await?;
            }
            Ok::<_, BuildError>(built)
        }
        .await;
        // Large trees take a while to remove, which nobody needs to wait for, and which would hold up a thread.
        tokio::task::spawn_blocking(move || drop(work));
        Ok(spec(built?, sha, key))
    }

    /// The apps that have a cache.
    pub fn cached(&self) -> std::io::Result<BTreeSet<AppUid>> {
        let entries = fs::read_dir(self.0.options.folder.join("cache"))?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names: Vec<String> = names.collect::<std::io::Result<_>>()?;
        Ok(names.iter().filter_map(|name| Uuid::parse_str(name).ok()).map(AppUid).collect())
    }

    /// Removes the cache of an app that is gone; having none is fine.
    pub fn forget(&self, app: AppUid) -> std::io::Result<()> {
        let cache = self.cache(app);
        if cache.exists() { fs::remove_dir_all(cache) } else { Ok(()) }
    }

    fn buildpack_url(
        &self,
        config: &BTreeMap<String, String>,
    ) -> Result<Option<(String, Option<String>)>, BuildError> {
        let Some(text) = config.get("BUILDPACK_URL").map(|t| t.trim()).filter(|t| !t.is_empty()) else {
            return Ok(None);
        };
        let (url, reference) = text.split_once('#').map_or((text, None), |(u, r)| (u, Some(r.to_owned())));
        let scheme = url.split_once("://").map(|(s, _)| s).unwrap_or_default();
        if !self.0.options.schemes.iter().any(|s| s == scheme) {
            let allowed = self.0.options.schemes.join(", ");
            let url = without_password(url);
            let text = format!("BUILDPACK_URL {url:?} is not allowed here: use a git URL over {allowed}");
            return Err(BuildError::Refused(text));
        }
        Ok(Some((url.to_owned(), reference.filter(|r| !r.is_empty()))))
    }

    async fn recall(&self, key: Option<&Digest>) -> Option<Remembered> {
        let known: Remembered = serde_json::from_slice(&self.0.artifacts.recall(key?).await?).ok()?;
        self.0.artifacts.has(&known.digest).await.then_some(known)
    }

    async fn run(
        &self,
        request: &BuildRequest,
        fetch: Option<(String, Option<String>)>,
        work: &Path,
        output: &LineSender,
    ) -> Result<Remembered, BuildError> {
        let cache = self.cache(request.app.uid);
        let (repository, commit, root) =
            (request.repository.clone(), request.commit.clone(), Job::root(work));
        let (fresh, most) = (request.config.contains_key("DEIS_DISABLE_CACHE"), self.0.options.most_cache);
        let kept = cache.clone();
        // Ends the export when this future ends, by the limit or because nobody waits for it any more.
        let guard = Cancel(Arc::default());
        let cancel = Arc::clone(&guard.0);
        let export = blocking(move || {
            fs::create_dir(&root)?;
            if fresh || size_of(&kept) > most {
                fs::remove_dir_all(&kept).or_else(|e| if kept.exists() { Err(e) } else { Ok(()) })?;
            }
            fs::create_dir_all(&kept)?;
            Ok(repository.export(&commit, &root, &Budget::default(), &cancel)?)
        });
        let limit = self.0.options.limit;
        let exported =
            tokio::time::timeout(limit, export).await.map_err(|_| BuildError::TooLong(limit.as_secs()))??;
        for path in exported.submodules {
            let _ = output.send(format!(" !     Submodule {path} is not fetched")).await;
        }
        let exit = self.run_task(self.task(request, fetch, work, cache)?, output).await?;
        let outcome = fs::read(Job::result(work)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match (exit, outcome) {
            (Exit::TimedOut, _) => Err(BuildError::TooLong(self.0.options.limit.as_secs())),
            (Exit::Lost | Exit::Signal(_), _) => Err(BuildError::Interrupted),
            (_, Some(Outcome::Built { digest, processes, has_procfile })) => {
                Ok(Remembered { digest, processes, has_procfile })
            }
            (_, Some(Outcome::NoMatch { tried })) => Err(BuildError::NoMatch(tried)),
            (_, Some(Outcome::Failed { step, exit })) => {
                Err(BuildError::Failed { step, exit: exit.unwrap_or(1) })
            }
            (_, Some(Outcome::Refused { reason })) => Err(BuildError::Refused(reason)),
            (Exit::Code(code), None) => Err(BuildError::Failed { step: "the build".to_owned(), exit: code }),
        }
    }

    fn task(
        &self,
        request: &BuildRequest,
        fetch: Option<(String, Option<String>)>,
        work: &Path,
        cache: PathBuf,
    ) -> Result<Task, BuildError> {
        let options = &self.0.options;
        let mut env = options.env.clone();
        let id = work.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let id: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
        let own = [
            ("STACK", STACK),
            ("SOURCE_VERSION", request.commit.build()),
            ("REQUEST_ID", &id),
            ("LANG", "C.UTF-8"),
            // Tools that would write times of day, and Python, whose compiled files would name times that a slug
            // does not keep, do without where this is set.
            ("SOURCE_DATE_EPOCH", &EPOCH.to_string()),
        ];
        env.extend(own.map(|(k, v)| (k.to_owned(), v.to_owned())));
        env.insert("TMPDIR".to_owned(), Job::scratch(work).to_string_lossy().into_owned());
        let mut buildpacks = options.buildpacks.as_deref().map(folders).transpose()?.unwrap_or_default();
        buildpacks.extend(self.0.embedded.clone());
        let job = Job {
            work: work.to_path_buf(),
            cache,
            config: request.config.clone(),
            env: env.clone(),
            buildpacks,
            fetch,
        };
        let stdin = serde_json::to_vec(&job).map_err(std::io::Error::other)?;
        let refused = |e: deis_core::InvalidName| BuildError::Refused(e.to_string());
        Ok(Task {
            app: request.app.clone(),
            name: TaskName::new(format!("build-{id}")).map_err(refused)?,
            kind: TaskKind::Build,
            attempt: attempt(),
            release: None,
            program: Program::Exec {
                program: options.program.clone(),
                argv0: Some(driver::NAME.to_owned()),
                args: Vec::new(),
                directory: work.to_path_buf(),
                stdin,
            },
            env: env.into(),
            limit: options.limit,
        })
    }

    async fn run_task(&self, task: Task, output: &LineSender) -> Result<Exit, BuildError> {
        let (app, name, attempt) = (task.app.clone(), task.name.clone(), task.attempt);
        // There is one build of an app at a time; one that is left of a push that was given up ends here.
        self.0.runner.stop(&app, StopScope::Kind(TaskKind::Build), attempt).await?;
        let (sender, mut lines) = output_channel();
        self.0.runner.start(task, sender).await?;
        while let Some(line) = lines.recv().await {
            let _ = output.send(line.text).await;
        }
        loop {
            match self.0.runner.observe(&app, TaskKind::Build, &name).await?.state {
                TaskState::Ended { exit, .. } => return Ok(exit),
                TaskState::Unknown => return Ok(Exit::Lost),
                TaskState::Running => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn cache(&self, app: AppUid) -> PathBuf {
        self.0.options.folder.join("cache").join(app.to_string())
    }
}

/// Sets a flag when it goes.
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Empties the folder of builds at once, and removes what was in it beside everything else: a killed build may have
/// left more than a start can wait for.
fn remove_aside(folder: &Path, work: &Path) -> std::io::Result<()> {
    let aside = tempfile::Builder::new().prefix(ASIDE).tempdir_in(folder)?.keep();
    fs::rename(work, aside.join("work"))?;
    let old: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(ASIDE)))
        .collect();
    std::thread::spawn(move || {
        for path in old {
            if let Err(error) = fs::remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %error, "what is left of old builds cannot be removed");
            }
        }
    });
    Ok(())
}

const ASIDE: &str = ".old-work-";

/// What is wrong with a source is said before anything is run.
fn check_source(request: &BuildRequest) -> Result<(), BuildError> {
    let file = |name: &str| request.repository.root_file(&request.commit, name, 1 << 20);
    let wants_procfile = request.config.get("HEPHY_BUILDER").is_some_and(|v| v == "procfile");
    if file("Dockerfile")?.is_some() && !wants_procfile {
        let text = "this version builds no Dockerfiles yet; remove the Dockerfile, or build with buildpacks: \
                    `deis config:set HEPHY_BUILDER=procfile`, then push again";
        return Err(BuildError::Refused(text.to_owned()));
    }
    if let Some(text) = file("Procfile")? {
        let text =
            String::from_utf8(text).map_err(|_| BuildError::Refused("Procfile is not UTF-8".to_owned()))?;
        parse_procfile(&text).map_err(|e| BuildError::Refused(e.to_string()))?;
    }
    Ok(())
}

fn spec(built: Remembered, sha: String, key: Option<Digest>) -> BuildSpec {
    BuildSpec {
        source: BuildSource::Buildpack(GitSource { commit: Some(sha), branch: None }),
        has_procfile: built.has_procfile,
        key,
        ..BuildSpec::slug(built.digest, built.processes)
    }
}

/// Rises with each build of this machine, so that a later one ends what is left of an earlier one.
fn attempt() -> Attempt {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Attempt(u64::try_from(now.as_millis()).unwrap_or(u64::MAX - 1))
}

fn folders(parent: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(parent)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/detect").is_file())
        .collect();
    found.sort();
    Ok(found)
}

fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size_of(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
) -> Result<T, BuildError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| BuildError::Io(std::io::Error::other(e)))?
}
