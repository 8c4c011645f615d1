//! A place to build in: an app's repository, an operator's buildpacks, a runner and a store of slugs.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use deis_build::{
    Artifacts, BuildError, BuildRequest, Pipeline, PipelineOptions, SlugFolders, git::Repository,
};
use deis_core::{
    AppName, BuildSpec, ProcessType,
    local::{LocalOptions, LocalRunner, LocalTool, ShimProgram},
    model::{AppRef, AppUid, Attempt, Tool},
};
use object_store::local::LocalFileSystem;

pub(crate) struct Workshop {
    folder: tempfile::TempDir,
    pub(crate) app: AppRef,
    pub(crate) pipeline: Pipeline,
    slugs: SlugFolders,
    pub(crate) config: BTreeMap<String, String>,
    attempts: AtomicU64,
}

/// What a build made, and what it said.
pub(crate) struct Built {
    pub(crate) spec: BuildSpec,
    pub(crate) said: String,
    /// The unpacked slug.
    pub(crate) slug: PathBuf,
}

impl Workshop {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(tune: impl FnOnce(&mut PipelineOptions)) -> Self {
        Self::with_builder(tune, |_, real| real.to_owned()).await
    }

    /// With another program in the place of the builder; `builder` is given the folder of everything and the real one.
    pub(crate) async fn with_builder(
        tune: impl FnOnce(&mut PipelineOptions),
        builder: impl FnOnce(&Path, &Path) -> PathBuf,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["work", "slugs", "packs"] {
            fs::create_dir(path(name)).unwrap();
        }
        let store = Arc::new(LocalFileSystem::new_with_prefix(path("slugs")).unwrap());
        let artifacts = Artifacts::new(store);
        let slugs = SlugFolders::open(artifacts.clone(), path("unpacked")).unwrap();
        let program = PathBuf::from(env!("CARGO_BIN_EXE_deis-builder"));
        let argv0 = Some(deis_build::driver::NAME.to_owned());
        let builder = LocalTool { program: builder(folder.path(), &program), argv0, args: Vec::new() };
        let local = LocalOptions::new(path("run"), slugs.unpacker())
            .with_depots(PipelineOptions::depots_of(&path("build")))
            .with_shim(ShimProgram::Path(program.clone()))
            .with_tool(Tool::Builder, builder)
            .with_path(std::env::var("PATH").unwrap());
        let runner = Arc::new(LocalRunner::open(local).await.unwrap());
        let mut options = PipelineOptions::new(path("build"));
        options.buildpacks = Some(path("packs"));
        options.env = ["PATH", "PIP_FIND_LINKS", "PIP_INDEX_URL", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
            .collect();
        tune(&mut options);
        let pipeline = Pipeline::new(options, runner, artifacts).unwrap();
        let app = AppRef { name: AppName::new("app").unwrap(), uid: AppUid(uuid::Uuid::new_v4()) };
        let workshop =
            Self { folder, app, pipeline, slugs, config: BTreeMap::new(), attempts: AtomicU64::new(0) };
        workshop.git(&["init", "--quiet", "--initial-branch=main"]);
        workshop
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.path("work"), args)
    }

    /// An operator's buildpack. Scripts that are not given are not there.
    pub(crate) fn pack(&self, name: &str, scripts: &[(&str, &str)]) {
        let scripts: Vec<(String, String)> =
            scripts.iter().map(|(n, s)| (format!("bin/{n}"), format!("#!/bin/bash\n{s}"))).collect();
        for (script, text) in &scripts {
            write(&self.path("packs").join(name), script, text);
        }
    }

    /// Commits exactly these files and builds them.
    pub(crate) async fn build(&self, files: &[(&str, &str)]) -> Result<Built, (BuildError, String)> {
        self.build_with(files, |_| ()).await
    }

    /// The same, with something done to the index before it is committed.
    pub(crate) async fn build_with(
        &self,
        files: &[(&str, &str)],
        stage: impl FnOnce(&Self),
    ) -> Result<Built, (BuildError, String)> {
        let work = self.path("work");
        for entry in fs::read_dir(&work).unwrap().flatten().filter(|e| e.file_name() != ".git") {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        for (name, text) in files {
            write(&work, name, text);
        }
        self.git(&["add", "--all", "."]);
        stage(self);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "change"]);
        let repository = Repository::open_or_create(self.path("server.git")).unwrap();
        self.git(&["push", "--quiet", "--force", repository.path().to_str().unwrap(), "main"]);
        let commit = repository.resolve("refs/heads/main").unwrap().unwrap();
        let (app, config) = (self.app.clone(), self.config.clone());
        let attempt = Attempt(self.attempts.fetch_add(1, Ordering::SeqCst) + 1);
        let request = BuildRequest { app, attempt, repository, commit, config };
        let (sender, mut lines) = tokio::sync::mpsc::channel(16);
        let work = async {
            let built = self.pipeline.build(&request, &sender).await;
            drop(sender);
            built
        };
        let listen = async {
            let mut said = String::new();
            while let Some(line) = lines.recv().await {
                said.push_str(&line);
                said.push('\n');
            }
            said
        };
        let (built, said) = tokio::join!(work, listen);
        match built {
            Ok(spec) => {
                let folder = (self.slugs.unpacker())(spec.artifact.clone()).await.unwrap();
                Ok(Built { spec, said, slug: folder.path })
            }
            Err(error) => Err((error, said)),
        }
    }

    /// Nothing is left of builds, and nothing of them runs.
    pub(crate) async fn is_clean(&self) {
        let list = || -> Vec<PathBuf> {
            let depots = fs::read_dir(self.path("build/depots")).unwrap();
            let mut left: Vec<PathBuf> = depots.flatten().map(|entry| entry.path()).collect();
            left.extend(folders_of_tasks(&self.path("run/tasks")).map(|task| task.join("app")));
            left.retain(|path| path.exists());
            left
        };
        let mut left = list();
        // What was built is removed beside the answer.
        for _ in 0..100 {
            if left.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            left = list();
        }
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Built {
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.slug.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub(crate) fn command(&self, process: &str) -> Option<&str> {
        self.spec
            .processes
            .get(&ProcessType::new(process).unwrap())
            .and_then(deis_core::model::Command::as_shell)
    }
}

/// The folders of tasks, each below that of its app.
fn folders_of_tasks(tasks: &Path) -> impl Iterator<Item = PathBuf> {
    let inside = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    inside(tasks).flat_map(move |app| inside(&app).collect::<Vec<_>>())
}

/// Runs git in a folder.
pub(crate) fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=ann", "-c", "user.email=ann@example.com"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Writes a file with its folders; what is in `bin/` can be run.
pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    let mode = if name.starts_with("bin/") { 0o755 } else { 0o644 };
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
}

/// The command lines of this machine's processes that contain these words.
pub(crate) fn processes_with(words: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|p| fs::read_to_string(p.path().join("cmdline")).ok())
        .map(|line| line.replace('\0', " "))
        .filter(|line| line.contains(words))
        .collect()
}
