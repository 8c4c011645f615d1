//! From a commit to something that can be released: source, build task, slug, object store.

mod options;
mod run;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use deis_core::{
    BuildSpec, Digest,
    model::{AppRef, AppUid, Attempt, BuildSource, GitSource},
    port::TaskRunner,
};
use tokio::sync::mpsc;

use crate::{
    artifacts::{Artifacts, StoreFailed},
    buildpack::job::Built,
    caches::Caches,
    depot::Ticket,
    error::BuildError,
    folders::remove_tree,
    git::{Oid, Repository, is_disk_full},
    key::build_key,
};

pub use options::PipelineOptions;

/// Where a build's lines go, for the person who waits.
pub type LineSender = mpsc::Sender<String>;

/// Turns commits into builds. Clones share one.
#[derive(Clone, Debug)]
pub struct Pipeline(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: PipelineOptions,
    runner: Arc<dyn TaskRunner>,
    artifacts: Artifacts,
    caches: Caches,
}

/// What to build.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// For which app.
    pub app: AppRef,
    /// Which build of the app this is: higher than that of every earlier one.
    pub attempt: Attempt,
    /// Where the source is.
    pub repository: Repository,
    /// Which commit.
    pub commit: Oid,
    /// The app's config.
    pub config: BTreeMap<String, String>,
}

impl Pipeline {
    /// A pipeline whose builds are tasks of `runner`. Removes what a killed process left of its builds.
    ///
    /// # Errors
    /// The folder of the options cannot be used.
    pub fn new(
        options: PipelineOptions,
        runner: Arc<dyn TaskRunner>,
        artifacts: Artifacts,
    ) -> io::Result<Self> {
        // A cache must leave room for the build that uses it.
        let max_cache = options.max_cache_bytes.min(options.max_build_bytes / 2);
        let caches = Caches::open(options.folder.join("cache"), max_cache)?;
        fs::create_dir_all(options.folder.join(DEPOTS))?;
        put_caches_back(&options.folder.join(DEPOTS), &caches)?;
        remove_aside(&options.folder)?;
        Ok(Self(Arc::new(Inner { options, runner, artifacts, caches })))
    }

    /// Builds a commit. Lines go to `output` as they come; a reader that went away does not end the build, but
    /// dropping the future does. A newer attempt for the same app ends an older one.
    ///
    /// # Errors
    /// Why there is no build, for the person who pushed.
    pub async fn build(&self, request: &BuildRequest, output: &LineSender) -> Result<BuildSpec, BuildError> {
        let built = self.build_once(request, output).await;
        // Wherever the disk is met, it is no fault of the source.
        built.map_err(|error| if is_disk_full(&error) { BuildError::DiskFull } else { error })
    }

    async fn build_once(&self, request: &BuildRequest, output: &LineSender) -> Result<BuildSpec, BuildError> {
        let sha = request.commit.to_string();
        let (own, asked) = (self.clone(), request.clone());
        let (fetch, key) = blocking(move || {
            source::check(&asked)?;
            let fetch = source::buildpack_url(&asked.config, &own.0.options.schemes)?;
            let tree = asked.repository.tree_of(&asked.commit)?;
            let key = build_key(&tree, &asked.config, fetch.as_ref(), own.0.options.buildpacks.as_deref());
            Ok((fetch, key))
        })
        .await?;
        if let Some(known) = self.recall(request.app.uid, key.as_ref()).await {
            let text = format!("-----> This source was built before: using slug {}", known.digest.short());
            let _ = output.send(text).await;
            return Ok(spec(known, sha, key));
        }
        let built = self.run(request, fetch, output).await?;
        if let (Some(key), Ok(value)) = (&key, serde_json::to_vec(&built)) {
            self.0.artifacts.record_key(key, value.into()).await?;
        }
        Ok(spec(built, sha, key))
    }

    /// The apps that have a cache.
    ///
    /// # Errors
    /// The folder of the caches cannot be read.
    pub fn cached(&self) -> io::Result<BTreeSet<AppUid>> {
        self.0.caches.apps()
    }

    /// Removes the cache of an app that is gone; having none is fine.
    ///
    /// # Errors
    /// What the file system says of an entry that stays.
    pub fn forget(&self, app: AppUid) -> io::Result<()> {
        self.0.caches.forget(app)
    }

    /// The apps that use slugs; see [`Artifacts::remove_user`].
    ///
    /// # Errors
    /// The object store cannot be reached.
    pub async fn users_of_slugs(&self) -> Result<Vec<AppUid>, StoreFailed> {
        self.0.artifacts.users_of_slugs().await
    }

    /// Removes the slugs that only an app used which is gone.
    ///
    /// # Errors
    /// The object store cannot be reached.
    pub async fn forget_slugs(&self, app: AppUid) -> Result<(), StoreFailed> {
        self.0.artifacts.remove_user(app).await.map(drop)
    }

    async fn recall(&self, app: AppUid, key: Option<&Digest>) -> Option<Built> {
        let known: Built = serde_json::from_slice(&self.0.artifacts.find_key(key?).await?).ok()?;
        // Before it is looked for: from then on it stays.
        self.0.artifacts.add_user(app, &known.digest).await.ok()?;
        self.0.artifacts.has(&known.digest).await.then_some(known)
    }
}

fn spec(built: Built, sha: String, key: Option<Digest>) -> BuildSpec {
    BuildSpec {
        source: BuildSource::Buildpack(GitSource { commit: Some(sha), branch: None }),
        has_procfile: built.has_procfile,
        key,
        ..BuildSpec::slug(built.digest, built.processes)
    }
}

/// Folders of depots, by ticket.
const DEPOTS: &str = "depots";
/// How the names of folders begin that are being removed.
const ASIDE: &str = ".old-work-";

/// A kill must not cost an app its cache: it is in the depot of the build that used it. Of several the newest stays.
fn put_caches_back(depots: &Path, caches: &Caches) -> io::Result<()> {
    let left = Ticket::below(depots)?;
    left.into_iter().try_for_each(|(ticket, depot)| caches.put_back(ticket.app, &depot.cache()))
}

/// Empties the folders of builds at once, and removes what was in them beside everything else: a killed build may have
/// left more than a start can wait for.
fn remove_aside(folder: &Path) -> io::Result<()> {
    let aside = tempfile::Builder::new().prefix(ASIDE).tempdir_in(folder)?.keep();
    fs::rename(folder.join(DEPOTS), aside.join(DEPOTS))?;
    fs::create_dir(folder.join(DEPOTS))?;
    let old: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(ASIDE)))
        .collect();
    std::thread::spawn(move || {
        for path in old {
            if let Err(error) = remove_tree(&path) {
                tracing::warn!(path = %path.display(), %error, "what is left of old builds cannot be removed");
            }
        }
    });
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
) -> Result<T, BuildError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| BuildError::Io(io::Error::other(e)))?
}
