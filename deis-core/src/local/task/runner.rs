//! The task runner of this machine.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::watch, task::JoinSet};

use super::{
    adopt, attach,
    run::{self, Stage, Started, is_terminal_size},
    table::{AppTasks, Entry},
};
use crate::{
    local::{
        blocking::blocking,
        options::LocalOptions,
        process::orphans,
        process::validate,
        run_dir::{
            format,
            record::{EndRecord, TaskIdentity},
            socket,
        },
        tree::{make_private, remove_tree},
    },
    model::{
        AppRef, AppUid, Attempt, Exit, Program, Task, TaskInfo, TaskInput, TaskObservation, TaskRef,
        TaskState, Tool,
    },
    port::{Attached, BoxError, Cursor, StopScope, TaskError, TaskRunner},
    routing::DestroyedApps,
};

/// Pause between two looks for ended tasks whose time is over.
const TIDY_PAUSE: Duration = Duration::from_secs(3600);

/// Runs tasks as processes of this machine. Bound ones end with this process, even if it is killed; detached ones are
/// adopted by the next one.
pub struct LocalRunner {
    shared: Arc<Shared>,
}

struct Shared {
    options: LocalOptions,
    apps: Mutex<BTreeMap<AppUid, AppTasks>>,
    /// Apps that were stopped for good; only looked at under the lock of `apps`.
    over: Mutex<DestroyedApps>,
    followers: Mutex<JoinSet<()>>,
}

impl LocalRunner {
    /// Makes the run folder if it is missing, adopts detached tasks of an earlier process and waits for the end of its
    /// bound ones. May share the folder with a [`LocalScheduler`](crate::local::LocalScheduler).
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub async fn open(options: LocalOptions) -> io::Result<Self> {
        let (tasks, grace) = (format::tasks(&options.run_dir), options.timing.task_grace);
        let found = tokio::task::spawn_blocking(move || {
            make_private(&tasks)?;
            adopt::scan(&tasks, grace)
        })
        .await??;
        let shared = Arc::new(Shared {
            options,
            apps: Mutex::default(),
            over: Mutex::default(),
            followers: Mutex::default(),
        });
        for found in found {
            let started = match found.shim {
                Some(shim) => Started::adopted(found.folder.clone(), shim, grace)?,
                None => None,
            };
            shared.adopt(found.folder, found.identity, started).await;
        }
        shared.tidy_all().await;
        shared.spawn(Arc::clone(&shared).tidy_regularly());
        Ok(Self { shared })
    }

    /// Ends all tasks, detached ones too, and returns once they have ended.
    pub async fn stop_all(&self) {
        let stages: Vec<watch::Receiver<Stage>> =
            self.shared.lock().values().flat_map(AppTasks::stop_all).collect();
        for mut stage in stages {
            // Its sender goes only after the end.
            let _ = stage.wait_for(|stage| matches!(stage, Stage::Ended { .. })).await;
        }
    }
}

#[async_trait]
impl TaskRunner for LocalRunner {
    async fn start(&self, task: &Task) -> Result<(), TaskError> {
        if let Some(reason) = self.shared.rejection(task) {
            return Err(TaskError::Rejected { reason });
        }
        let identity = TaskIdentity::of(task);
        let folder = self.shared.folder(task);
        // Admitted and added under one lock: of two callers with the same task one starts it.
        let (stage, stop) = {
            let mut apps = self.shared.lock();
            if self.shared.is_over(task.app.uid) {
                return Err(TaskError::Stale { given: task.attempt, current: Attempt::MAX });
            }
            let app = apps.entry(task.app.uid).or_default();
            if !app.admit(task)? {
                return Ok(());
            }
            app.add(Entry::new(identity.clone(), folder.clone(), Stage::Starting))
        };
        let follower =
            Arc::clone(&self.shared).follow(identity, folder, stage, stop, Next::Start(task.clone()));
        self.shared.spawn(follower);
        Ok(())
    }

    async fn attach(&self, task: &TaskRef, from: Cursor, input: bool) -> Result<Attached, TaskError> {
        let (folder, stage) = {
            let apps = self.shared.lock();
            let entry = apps.get(&task.app.uid).and_then(|app| app.find(task.kind, &task.name));
            let entry = entry.ok_or(TaskError::Unknown)?;
            (entry.folder.clone(), entry.stage.subscribe())
        };
        let input = if input { Some(attach::writer(&folder, stage.clone()).await?) } else { None };
        Ok(Attached { output: attach::output(&folder, stage, from), input })
    }

    async fn observe(&self, task: &TaskRef) -> Result<TaskObservation, TaskError> {
        let (mut seen, folder) = {
            let apps = self.shared.lock();
            let Some(app) = apps.get(&task.app.uid) else {
                let fence = if self.shared.is_over(task.app.uid) { Attempt::MAX } else { Attempt(0) };
                return Ok(TaskObservation { fence, older_running: false, state: TaskState::Unknown });
            };
            let entry = app.find(task.kind, &task.name);
            (app.observe(task.kind, entry), entry.map(|entry| entry.folder.clone()))
        };
        if let (TaskState::Ended { last_lines, .. }, Some(folder)) = (&mut seen.state, folder) {
            *last_lines = blocking(move || Ok(run::last_lines(&folder))).await.map_err(unavailable)?;
        }
        Ok(seen)
    }

    async fn stop(&self, app: &AppRef, scope: &StopScope, attempt: Attempt) -> Result<(), TaskError> {
        self.shared.lock().entry(app.uid).or_default().stop(scope, attempt);
        self.shared.tidy(app.uid).await;
        Ok(())
    }

    async fn tasks(&self, app: Option<&AppRef>) -> Result<Vec<TaskInfo>, TaskError> {
        let apps = self.shared.lock();
        let wanted = apps.iter().filter(|(uid, _)| app.is_none_or(|app| app.uid == **uid));
        Ok(wanted.flat_map(|(_, tasks)| tasks.list()).collect())
    }
}

/// What a follower begins with.
enum Next {
    Start(Task),
    Adopt(Started),
}

impl Shared {
    async fn adopt(self: &Arc<Self>, folder: PathBuf, identity: TaskIdentity, started: Option<Started>) {
        let stage = if started.is_some() {
            Stage::Running
        } else {
            let own = folder.clone();
            let ended = blocking(move || Ok(Stage::ended(orphans::end_task(&own)?, &own))).await;
            ended.unwrap_or_else(|_| Stage::Ended { ended: EndRecord::new(Exit::Lost), size: 0 })
        };
        let entry = Entry::new(identity.clone(), folder.clone(), stage);
        let (stage, stop) = {
            let mut apps = self.lock();
            let app = apps.entry(identity.app.uid).or_default();
            app.raise_fence(identity.kind, identity.attempt);
            app.add(entry)
        };
        if let Some(started) = started {
            self.spawn(Arc::clone(self).follow(identity, folder, stage, stop, Next::Adopt(started)));
        }
    }

    fn spawn(&self, follower: impl Future<Output = ()> + Send + 'static) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        while followers.try_join_next().is_some() {}
        followers.spawn(follower);
    }

    /// Runs a task to its end and remembers how it ended.
    async fn follow(
        self: Arc<Self>,
        identity: TaskIdentity,
        folder: PathBuf,
        stage: Arc<watch::Sender<Stage>>,
        mut stop: watch::Receiver<bool>,
        next: Next,
    ) {
        let ended = match self.run(&identity, &folder, &stage, &mut stop, next).await {
            Ok(ended) => ended,
            Err(error) => {
                let why = run::reason(error.as_ref());
                let (folder, text, output) = (folder.clone(), why.clone(), identity.output);
                let told = blocking(move || run::never_ran(&folder, output, Some(&text))).await;
                told.unwrap_or_else(|_| run::never_recorded(&why))
            }
        };
        let own = folder.clone();
        let removed = blocking(move || {
            // A supervising process that was killed leaves it.
            socket::remove(&own);
            remove_tree(&format::files(&own))
        });
        if let Err(error) = removed.await {
            tracing::warn!(app = %identity.app, task = %identity.name, %error, "an ended task's files stay");
        }
        let own = folder.clone();
        let last = blocking(move || Ok(Stage::ended(ended, &own))).await;
        stage.send_replace(
            last.unwrap_or_else(|_| Stage::Ended { ended: EndRecord::new(Exit::Lost), size: 0 }),
        );
        self.tidy(identity.app.uid).await;
        self.options.wake.hint(&identity.app.name);
    }

    async fn run(
        &self,
        identity: &TaskIdentity,
        folder: &Path,
        stage: &watch::Sender<Stage>,
        stop: &mut watch::Receiver<bool>,
        next: Next,
    ) -> Result<EndRecord, BoxError> {
        let started = match next {
            Next::Adopt(started) => Some(started),
            Next::Start(task) => {
                let (own, written) = (folder.to_owned(), identity.clone());
                blocking(move || run::make_folder(&own, &written)).await?;
                run::prepare(&self.options, task, folder, stop).await?
            }
        };
        if let Some(started) = started {
            stage.send_replace(Stage::Running);
            return Ok(started.finish(stop).await?);
        }
        // It ended before it ran: its shim says why, or it was stopped.
        let (folder, output) = (folder.to_owned(), identity.output);
        let ended = blocking(move || match EndRecord::read(&folder) {
            Some(ended) => Ok(ended),
            None => run::never_ran(&folder, output, None),
        });
        Ok(ended.await?)
    }

    /// Removes what need not be kept of an app's ended tasks.
    async fn tidy(&self, app: AppUid) {
        let gone = {
            let mut apps = self.lock();
            let gone = apps.get_mut(&app).map(AppTasks::take_surplus).unwrap_or_default();
            if apps.get(&app).is_some_and(AppTasks::is_over) {
                apps.remove(&app);
                self.over.lock().unwrap_or_else(PoisonError::into_inner).insert(app);
            }
            gone
        };
        if gone.is_empty() {
            return;
        }
        let removed = blocking(move || {
            for folder in gone {
                remove_tree(&folder)?;
                // Goes with the app's last task; as long as there are others it stays.
                let _ = folder.parent().map(std::fs::remove_dir);
            }
            Ok(())
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "the folder of an ended task cannot be removed");
        }
    }

    /// Ended tasks go when their time is over, also those of apps of which nothing is asked any more.
    async fn tidy_regularly(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TIDY_PAUSE).await;
            self.tidy_all().await;
        }
    }

    async fn tidy_all(&self) {
        let apps: Vec<AppUid> = self.lock().keys().copied().collect();
        for app in apps {
            self.tidy(app).await;
        }
    }

    fn folder(&self, task: &Task) -> PathBuf {
        format::of_task(&self.options.run_dir, task.app.uid, (task.kind, &task.name, task.attempt))
    }

    /// Why this task can never run here.
    fn rejection(&self, task: &Task) -> Option<String> {
        let problem = match &task.program {
            Program::Tool { tool, .. } if !self.options.tools.contains_key(tool) => {
                Some(format!("this machine has no tool {tool:?}"))
            }
            Program::Tool { input, .. } if input.len() > Tool::MAX_INPUT => {
                Some(format!("the input of a tool is larger than {} bytes", Tool::MAX_INPUT))
            }
            Program::Tool { .. } if task.input != TaskInput::Closed => {
                Some("a tool's input is what it is started with".to_owned())
            }
            Program::Launch { command, .. } if validate::command(command).is_some() => {
                validate::command(command)
            }
            Program::Launch { .. } | Program::Tool { .. } => match task.input {
                TaskInput::Terminal(size) if !is_terminal_size(size) => {
                    Some("a terminal has at least one column and one row".to_owned())
                }
                _ => None,
            },
        };
        problem.or_else(|| validate::environment(&task.env))
    }

    fn is_over(&self, app: AppUid) -> bool {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).contains(app)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AppUid, AppTasks>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable(error: io::Error) -> TaskError {
    TaskError::Unavailable(Box::new(error))
}

impl fmt::Debug for LocalRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRunner").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Drop for LocalRunner {
    fn drop(&mut self) {
        self.shared.followers.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}
