//! The task runner of this machine.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::{
    adopt,
    copy::{copy_tree, remove_tree},
    launch::{add_defaults, make_private, reason, start_of},
    options::LocalOptions,
    scheduler::validate,
    shim::{Output, Spec, Start},
    task::{self, Printed},
};
use crate::{
    model::{AppRef, AppUid, Attempt, Exit, Program, Task, TaskKind, TaskName, TaskObservation, TaskState},
    port::{BoxError, OutputLine, OutputSender, StopScope, TaskError, TaskRunner},
};

/// Ended tasks that are remembered per app and kind.
const REMEMBERED: usize = 32;
const KINDS: [TaskKind; 3] = [TaskKind::Build, TaskKind::Release, TaskKind::Run];

/// Runs tasks as processes of this machine. They end with this process, even if it is killed.
pub struct LocalRunner {
    shared: Arc<Shared>,
}

struct Shared {
    options: LocalOptions,
    apps: Mutex<BTreeMap<AppUid, AppTasks>>,
    followers: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct AppTasks {
    fences: BTreeMap<TaskKind, Attempt>,
    /// In the order of their start.
    tasks: Vec<Entry>,
}

struct Entry {
    kind: TaskKind,
    name: TaskName,
    attempt: Attempt,
    state: TaskState,
    stop: watch::Sender<bool>,
}

impl LocalRunner {
    /// Makes the run folder if it is missing and removes what tasks of an earlier process left in it. May share
    /// the folder with a [`LocalScheduler`](super::LocalScheduler).
    pub async fn open(options: LocalOptions) -> io::Result<Self> {
        let (tasks, grace) = (options.run_dir.join("tasks"), options.timing.task_grace);
        tokio::task::spawn_blocking(move || {
            make_private(&tasks)?;
            adopt::sweep_tasks(&tasks, grace)
        })
        .await??;
        Ok(Self { shared: Arc::new(Shared { options, apps: Mutex::default(), followers: Mutex::default() }) })
    }
}

#[async_trait]
impl TaskRunner for LocalRunner {
    async fn start(&self, task: Task, output: OutputSender) -> Result<(), TaskError> {
        if let Some(reason) = refusal(&task) {
            return Err(TaskError::Rejected { reason });
        }
        let mut apps = self.shared.lock();
        let app = apps.entry(task.app.uid).or_default();
        let fence = app.fences.entry(task.kind).or_default();
        if task.attempt < *fence {
            return Err(TaskError::Stale { given: task.attempt, current: *fence });
        }
        *fence = task.attempt;
        if app.find(task.kind, &task.name).is_some_and(|known| known.attempt == task.attempt) {
            return Ok(());
        }
        let stop = watch::Sender::new(false);
        let stopped = stop.subscribe();
        app.remember(Entry {
            kind: task.kind,
            name: task.name.clone(),
            attempt: task.attempt,
            state: TaskState::Running,
            stop,
        });
        let follower = Arc::clone(&self.shared).follow(task, output, stopped);
        let mut followers = self.shared.followers.lock().unwrap_or_else(PoisonError::into_inner);
        while followers.try_join_next().is_some() {}
        followers.spawn(follower);
        Ok(())
    }

    async fn observe(
        &self,
        app: &AppRef,
        kind: TaskKind,
        name: &TaskName,
    ) -> Result<TaskObservation, TaskError> {
        let apps = self.shared.lock();
        let Some(app) = apps.get(&app.uid) else {
            return Ok(TaskObservation {
                fence: Attempt(0),
                older_running: false,
                state: TaskState::Unknown,
            });
        };
        let fence = app.fences.get(&kind).copied().unwrap_or_default();
        let mut running = app.tasks.iter().filter(|t| t.kind == kind && t.state == TaskState::Running);
        Ok(TaskObservation {
            fence,
            older_running: running.any(|task| task.attempt < fence),
            state: app.find(kind, name).map_or(TaskState::Unknown, |task| task.state.clone()),
        })
    }

    async fn stop(&self, app: &AppRef, scope: StopScope, attempt: Attempt) -> Result<(), TaskError> {
        let mut apps = self.shared.lock();
        let app = apps.entry(app.uid).or_default();
        for kind in KINDS {
            if scope != StopScope::All && scope != StopScope::Kind(kind) {
                continue;
            }
            let fence = app.fences.entry(kind).or_default();
            *fence = attempt.max(*fence);
            for task in app.tasks.iter().filter(|t| t.kind == kind && t.attempt < attempt) {
                task.stop.send_replace(true);
            }
        }
        Ok(())
    }

    async fn is_idle(&self, app: &AppRef) -> Result<bool, TaskError> {
        let apps = self.shared.lock();
        Ok(apps.get(&app.uid).is_none_or(|app| app.tasks.iter().all(|t| t.state != TaskState::Running)))
    }
}

impl Shared {
    /// Runs a task to its end and remembers how it ended.
    async fn follow(self: Arc<Self>, task: Task, output: OutputSender, stop: watch::Receiver<bool>) {
        let key = (task.app.clone(), task.kind, task.name.clone(), task.attempt);
        let lines = Printed::default();
        let folder = self.folder(&task);
        let exit = match self.run(task, folder.clone(), output.clone(), lines.clone(), stop).await {
            Ok(exit) => exit,
            Err(error) => {
                let text = format!("the task cannot be started: {}", reason(error.as_ref()));
                lines.push(&text);
                let _ = output.try_send(OutputLine { text });
                Exit::Lost
            }
        };
        let removed = tokio::task::spawn_blocking(move || {
            remove_tree(&folder)?;
            // Goes with the app's last task; as long as there are others it stays.
            let _ = folder.parent().map(std::fs::remove_dir);
            Ok::<(), io::Error>(())
        });
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(app = %key.0, task = %key.2, %error, "the folder of an ended task cannot be removed");
        }
        let (app, kind, name, attempt) = key;
        let ended = TaskState::Ended { exit, last_lines: lines.last() };
        if let Some(known) = self.lock().get_mut(&app.uid) {
            let own = |t: &&mut Entry| t.kind == kind && t.name == name && t.attempt == attempt;
            if let Some(entry) = known.tasks.iter_mut().find(own) {
                entry.state = ended;
            }
        }
        self.options.wake.hint(&app.name);
        // Last: whoever sees the output end finds the task ended.
        drop(output);
    }

    async fn run(
        &self,
        task: Task,
        folder: PathBuf,
        output: OutputSender,
        lines: Printed,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Exit, BoxError> {
        let mut spec = Spec {
            folder,
            start: Start::Shell { command: String::new() },
            env: task.env,
            directory: PathBuf::new(),
            grace_ms: u64::try_from(self.options.timing.task_grace.as_millis()).unwrap_or(u64::MAX),
            limit_ms: u64::try_from(task.limit.as_millis()).ok(),
            open_files: self.options.open_files,
            output: Output::Stream { stdin: 0 },
        };
        let mut input = Vec::new();
        match task.program {
            Program::Launch { artifact, command } => {
                spec.start = start_of(&command);
                spec.directory = spec.folder.join("app");
                add_defaults(&mut spec.env, &self.options);
                let source = tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return Ok(Exit::Lost),
                    source = timeout(task.limit, (self.options.unpacker)(artifact)) => match source {
                        Ok(source) => source?,
                        Err(_) => return Ok(Exit::TimedOut),
                    },
                };
                let (folder, files) = (spec.folder.clone(), spec.directory.clone());
                tokio::task::spawn_blocking(move || {
                    make_private(&folder)?;
                    copy_tree(&source.path, &files)
                })
                .await??;
            }
            Program::Exec { program, argv0, args, directory, stdin } => {
                spec.start = Start::Program { program, argv0, args };
                spec.directory = directory;
                spec.output = Output::Stream { stdin: u64::try_from(stdin.len())? };
                input = stdin;
            }
        }
        let home = spec.directory.display().to_string();
        // Only a one-off command may have another (`plan::lower::environment`); programs of the operator know theirs.
        spec.env.entry("HOME".to_owned()).or_insert(home);
        spec.env.entry("PATH".to_owned()).or_insert_with(|| self.options.path.clone());
        let started = task::start(&self.options, spec).await?;
        Ok(started.finish(input, output, lines, stop).await)
    }

    fn folder(&self, task: &Task) -> PathBuf {
        let app = self.options.run_dir.join("tasks").join(task.app.uid.to_string());
        app.join(format!("{}-{}-{}", task.kind.word(), task.name, task.attempt))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AppUid, AppTasks>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AppTasks {
    /// The newest task of this name.
    fn find(&self, kind: TaskKind, name: &TaskName) -> Option<&Entry> {
        self.tasks.iter().filter(|t| t.kind == kind && t.name == *name).max_by_key(|t| t.attempt)
    }

    fn remember(&mut self, entry: Entry) {
        let kind = entry.kind;
        self.tasks.push(entry);
        let ended = |t: &Entry| t.kind == kind && t.state != TaskState::Running;
        let mut surplus = self.tasks.iter().filter(|t| ended(t)).count().saturating_sub(REMEMBERED);
        self.tasks.retain(|task| {
            let forgotten = surplus > 0 && ended(task);
            surplus -= usize::from(forgotten);
            !forgotten
        });
    }
}

/// Why this task can never run here.
fn refusal(task: &Task) -> Option<String> {
    let nul = |text: &str| text.contains('\0');
    let bad = match &task.program {
        Program::Launch { command, .. } => validate::command(command),
        Program::Exec { args, argv0, .. } => {
            let bad = args.iter().chain(argv0).any(|text| nul(text));
            bad.then(|| "the command contains a NUL byte".to_owned())
        }
    };
    bad.or_else(|| validate::environment(&task.env))
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
