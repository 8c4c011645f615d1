//! One build: its depot filled, its task run to the end, its slug stored.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deis_core::{
    model::{AppRef, Attempt, Exit, Program, Task, TaskKind, TaskName, TaskRef, Tool},
    port::{Cursor, StopScope, TaskError, TaskRunnerExt as _},
};

use super::{BuildRequest, DEPOTS, LineSender, Pipeline, blocking};
use crate::{
    buildpack::job::{BuildResult, Built, EXIT_DISK_FULL, Job},
    depot::{Depot, Ticket},
    error::BuildError,
    git::Budget,
    key::STACK,
    slug::EPOCH,
};

/// Largest result of a build that is read: what it runs writes with the same rights.
const MAX_RESULT: u64 = 1 << 20;

/// A buildpack to fetch: URL and reference.
type Fetch = Option<(String, Option<String>)>;

/// How long the end of a task that was stopped is waited for before its files go all the same.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The depot of one build, which goes with it; its cache goes back first.
struct Folders {
    pipeline: Pipeline,
    ticket: Ticket,
    depot: Depot,
    /// The task that may be using them. One that nobody waits for any more is stopped before they go.
    task: Option<TaskRef>,
}

impl Drop for Folders {
    fn drop(&mut self) {
        let (pipeline, ticket) = (self.pipeline.clone(), self.ticket);
        let depot = self.depot.clone();
        let own = pipeline.clone();
        let tidy = move || {
            let back = own.0.caches.put_back(ticket.app, &depot.cache());
            if let Err(error) = back.and(depot.remove()) {
                tracing::warn!(path = %depot.folder().display(), %error, "what is left of a build cannot be removed");
            }
        };
        // Large trees take a while to remove, which nobody needs to wait for, and which would hold up a thread.
        let task = self.task.take();
        match (tokio::runtime::Handle::try_current(), task) {
            (Ok(runtime), Some(task)) => drop(runtime.spawn(async move {
                pipeline.stop(&task, ticket.attempt).await;
                drop(tokio::task::spawn_blocking(tidy));
            })),
            (Ok(runtime), None) => drop(runtime.spawn_blocking(tidy)),
            (Err(_), _) => tidy(),
        }
    }
}

impl Pipeline {
    pub(super) async fn run(
        &self,
        request: &BuildRequest,
        fetch: Fetch,
        output: &LineSender,
    ) -> Result<Built, BuildError> {
        // There is one build of an app at a time; one that is left of a push that was given up ends here.
        self.0.runner.stop(&request.app, &StopScope::Kind(TaskKind::Build), request.attempt).await?;
        let limit = self.0.options.limit;
        let filled = tokio::time::timeout(limit, self.fill(request));
        let (mut folders, submodules) = filled.await.map_err(|_| BuildError::TooLong(limit.as_secs()))??;
        for path in submodules {
            let _ = output.send(format!(" !     Submodule {path} is not fetched")).await;
        }
        let task = self.task(request, fetch)?;
        folders.task = Some(task.reference());
        let ended = self.run_task(&task, output).await;
        if ended.is_ok() {
            folders.task = None;
        }
        // Before anything else, for the next build may begin as soon as this one has its answer.
        let (own, app, cache) = (self.clone(), request.app.uid, folders.depot.cache());
        blocking(move || Ok(own.0.caches.put_back(app, &cache)?)).await?;
        let exit = ended?;
        let result = folders.depot.result();
        let outcome = blocking(move || Ok(read_result(&result))).await?;
        let built = match (exit, outcome) {
            (Exit::TimedOut, _) => return Err(BuildError::TooLong(limit.as_secs())),
            (Exit::Lost | Exit::Signal(_), _) => return Err(BuildError::Interrupted),
            (_, Some(BuildResult::Built(built))) => built,
            (_, Some(BuildResult::NoMatch { tried })) => return Err(BuildError::NoMatch(tried)),
            (_, Some(BuildResult::Failed { step, exit })) => {
                return Err(BuildError::Failed { step, exit: exit.unwrap_or(1) });
            }
            (_, Some(BuildResult::Refused { reason })) => return Err(BuildError::Refused(reason)),
            (_, Some(BuildResult::DiskFull)) | (Exit::Code(EXIT_DISK_FULL), None) => {
                return Err(BuildError::DiskFull);
            }
            (Exit::Code(exit), None) => return Err(BuildError::NoResult { exit }),
        };
        self.0.artifacts.add_user(request.app.uid, &built.digest).await?;
        self.0.artifacts.put(&built.digest, &folders.depot.slug()).await?;
        Ok(built)
    }

    /// Makes the folders of a build and writes the source. Dropping the future ends the writing.
    async fn fill(&self, request: &BuildRequest) -> Result<(Folders, Vec<String>), BuildError> {
        let (own, request) = (self.clone(), request.clone());
        // Ends the export when this future ends, by the limit or because nobody waits for it any more.
        let guard = Cancel(Arc::default());
        let cancel = Arc::clone(&guard.0);
        blocking(move || {
            let options = &own.0.options;
            let ticket = Ticket { app: request.app.uid, attempt: request.attempt };
            let depot = Depot::create(&options.folder.join(DEPOTS), ticket)?;
            let folders = Folders { pipeline: own.clone(), ticket, depot, task: None };
            let cached = !request.config.contains_key("DEIS_DISABLE_CACHE");
            own.0.caches.take(ticket.app, &folders.depot.cache(), cached)?;
            if let Some(buildpacks) = &options.buildpacks {
                folders.depot.give_buildpacks(buildpacks)?;
            }
            let source = folders.depot.source();
            fs::create_dir(&source)?;
            let exported =
                request.repository.export(&request.commit, &source, &Budget::default(), &cancel)?;
            Ok((folders, exported.submodules))
        })
        .await
    }

    fn task(&self, request: &BuildRequest, fetch: Fetch) -> Result<Task, BuildError> {
        let options = &self.0.options;
        let mut env = options.env.clone();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let own = [
            ("STACK", STACK),
            ("SOURCE_VERSION", request.commit.build()),
            ("REQUEST_ID", &id[..8]),
            ("LANG", "C.UTF-8"),
            // Tools that would write times of day, and Python, whose compiled files would name times that a slug
            // does not keep, do without where this is set.
            ("SOURCE_DATE_EPOCH", &EPOCH.to_string()),
        ];
        env.extend(own.map(|(k, v)| (k.to_owned(), v.to_owned())));
        let config = request.config.clone();
        let job = Job { config, env: env.keys().cloned().collect(), fetch, limits: options.limits() };
        let input = serde_json::to_vec(&job).map_err(io::Error::other)?;
        let name = task_name(request.attempt)?;
        let program = Program::Tool { tool: Tool::Builder, input };
        let task = Task::new(request.app.clone(), TaskKind::Build, name, program, options.limit);
        Ok(Task { attempt: request.attempt, env: env.into(), ..task })
    }

    async fn run_task(&self, task: &Task, output: &LineSender) -> Result<Exit, BuildError> {
        self.0.runner.start(task).await?;
        self.follow(&task.reference(), output).await
    }

    /// Hands on what a build of an earlier process printed, as far as the runner knows it, until its end: the builds
    /// of a process that was killed end with it.
    ///
    /// # Errors
    /// [`BuildError::Runner`] if the runner cannot be reached. A build that it knows nothing of is none.
    pub async fn replay(
        &self,
        app: &AppRef,
        attempt: Attempt,
        output: &LineSender,
    ) -> Result<(), BuildError> {
        let task = TaskRef { app: app.clone(), kind: TaskKind::Build, name: task_name(attempt)? };
        self.follow(&task, output).await.map(drop)
    }

    async fn follow(&self, task: &TaskRef, output: &LineSender) -> Result<Exit, BuildError> {
        let each = |line: String| async move { drop(output.send(line).await) };
        match self.0.runner.follow_lines(task, Cursor::START, each).await {
            Err(TaskError::Unknown) => Ok(Exit::Lost),
            other => Ok(other?),
        }
    }

    /// Ends a task and waits until it has ended: its files must not go from under it.
    async fn stop(&self, task: &TaskRef, attempt: Attempt) {
        let runner = &self.0.runner;
        let ended = async {
            runner.stop(&task.app, &StopScope::Task(task.name.clone()), attempt).await?;
            runner.end(task).await
        };
        match tokio::time::timeout(STOP_LIMIT, ended).await {
            Ok(Ok(_) | Err(TaskError::Unknown)) => {}
            Ok(Err(error)) => tracing::warn!(task = %task.name, %error, "a build could not be stopped"),
            Err(_) => tracing::warn!(task = %task.name, "a build that was stopped has not ended"),
        }
    }
}

fn task_name(attempt: Attempt) -> Result<TaskName, BuildError> {
    TaskName::new(format!("build-{}", attempt.0)).map_err(|e| BuildError::Refused(e.to_string()))
}

fn read_result(path: &Path) -> Option<BuildResult> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_RESULT).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Sets a flag when it goes.
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
