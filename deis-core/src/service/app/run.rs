//! One-off commands.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use uuid::Uuid;

use super::{formation::must_build, handle::AppHandle};
use crate::{
    error::{Error, Kind, Result},
    model::{
        Attempt, EnvKey, Exit, LogLevel, Program, Task, TaskInfo, TaskInput, TaskKind, TaskLife, TaskName,
        TaskOutput, TaskRef, TaskStreams, WhenFull,
    },
    plan::{
        constants::{MAX_ENV_VARIABLE, MAX_RUNS},
        lower::{Purpose, Source, environment},
    },
    port::{Attached, Cursor, OutputItem, StopScope, TaskError, TaskRunnerExt as _},
    state::{
        apps::{AppState, LoadedRelease, load_release},
        keys,
    },
};

/// How a one-off command is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Variables beside the config's, and before them.
    pub env: BTreeMap<EnvKey, String>,
    /// Where its input comes from.
    pub input: TaskInput,
    /// What becomes of its output.
    pub output: TaskOutput,
    /// Whether it lives on without whoever started it.
    pub life: TaskLife,
}

impl RunOptions {
    /// A command whose output somebody takes as it comes, to the last byte: streams apart, held when nobody reads.
    pub fn attached(input: TaskInput) -> Self {
        let streams =
            if let TaskInput::Terminal(_) = input { TaskStreams::Merged } else { TaskStreams::Apart };
        let output = TaskOutput { streams, when_full: WhenFull::Hold };
        Self { env: BTreeMap::new(), input, output, life: TaskLife::Bound }
    }

    /// A command that goes on by itself, without input.
    pub fn detached() -> Self {
        let output = TaskOutput { streams: TaskStreams::Apart, when_full: WhenFull::Drop };
        Self { env: BTreeMap::new(), input: TaskInput::Closed, output, life: TaskLife::Detached }
    }
}

/// Stops a command whose output nobody waits for any more.
struct StopOnDrop {
    app: AppHandle,
    /// `None` once it has ended.
    name: Option<TaskName>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let (Some(name), Ok(runtime)) = (self.name.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let app = self.app.clone();
        // If it cannot be told to stop, its limit ends it.
        runtime.spawn(async move { app.stop_run(&name).await });
    }
}

impl AppHandle {
    /// Starts a command with build and config of the live release; before a release with a build is live, with those
    /// of the one that is to become it. Its environment is that of every process of the release.
    ///
    /// # Errors
    /// [`Error::NoBuild`] if there is nothing to run; [`Error::Busy`] if [`MAX_RUNS`] commands of the app run;
    /// [`Error::Missing`], [`Error::Refused`] or [`Error::Invalid`] for what no command line or environment can hold.
    pub async fn start_run(&self, command: &str, options: RunOptions) -> Result<TaskName> {
        if command.trim().is_empty() {
            return Err(Error::Missing { field: "command" });
        }
        if command.contains('\0') {
            return Err(Error::refused("command contains a NUL byte, which no command line can hold"));
        }
        if command.len() > MAX_ENV_VARIABLE {
            let text = format!("command is longer than {MAX_ENV_VARIABLE} bytes, the most that Linux takes");
            return Err(Error::refused(text));
        }
        let state = self.state().await?;
        let base = self.live_or_base(&state).await?;
        let build = must_build(&base)?;
        let app = self.app.reference();
        // Counted and started one after the other: many that arrive at once would each find room. Not the lock of the
        // app's changes: a command waits for none of them.
        let _starting = self.platform.0.changes.lock(keys::app(self.name())).await;
        let known = self.runs().await?;
        if known.iter().filter(|run| run.state.is_active()).count() >= MAX_RUNS {
            let reason =
                format!("{MAX_RUNS} commands of this app run already; wait, or stop one: deis ps:stop");
            return Err(Error::Busy { reason });
        }
        let source = Source { app: &app, release: &base.release, build, config: &base.config };
        let mut env = environment(source, Purpose::OneOff);
        for (key, value) in options.env {
            if value.contains('\0') || key.as_str().len() + value.len() > MAX_ENV_VARIABLE {
                let reason = format!("{key} holds a NUL byte, or is longer than {MAX_ENV_VARIABLE} bytes");
                return Err(Error::invalid("env", reason));
            }
            env.insert(key.to_string(), value);
        }
        let id: String = Uuid::new_v4().simple().to_string().chars().take(8).collect();
        let name = TaskName::new(format!("run-{id}")).map_err(|e| Error::Internal(Box::new(e)))?;
        let program = Program::Launch { artifact: build.spec.artifact.clone(), command: command.into() };
        let limit = self.platform.0.options.run_limit;
        let task = Task {
            attempt: Attempt(0),
            release: Some(base.release.version),
            env,
            life: options.life,
            output: options.output,
            input: options.input,
            ..Task::new(app, TaskKind::Run, name.clone(), program, limit)
        };
        // A log that cannot be written is no reason to refuse the command.
        let _ = self
            .append_platform_log(LogLevel::Info, format!("{} on {name} runs '{command}'", self.actor.name()))
            .await;
        self.platform.0.runner.start(&task).await?;
        Ok(name)
    }

    /// Follows a command, and with `input` writes to it: see [`TaskRunner::attach`](crate::port::TaskRunner::attach).
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not known, or no longer; [`Error::Busy`] if somebody else writes to it.
    pub async fn attach_run(&self, name: &TaskName, from: Cursor, input: bool) -> Result<Attached> {
        match self.platform.0.runner.attach(&self.run_ref(name), from, input).await {
            Err(TaskError::Unknown) => Err(self.no_run(name)),
            other => Ok(other?),
        }
    }

    /// Runs a command without input and waits for its end. Its output, both streams in one order, goes to `each` as it
    /// comes.
    ///
    /// If the future is dropped the command is stopped: nobody would ever see what it does.
    ///
    /// # Errors
    /// As [`AppHandle::start_run`].
    pub async fn run<F, Fut>(&self, command: &str, mut each: F) -> Result<Exit>
    where
        F: FnMut(OutputItem) -> Fut + Send,
        Fut: Future<Output = ()> + Send,
    {
        let mut options = RunOptions::attached(TaskInput::Closed);
        options.output.streams = TaskStreams::Merged;
        let name = self.start_run(command, options).await?;
        let task = self.run_ref(&name);
        let mut unwatched = StopOnDrop { app: self.clone(), name: Some(name) };
        let runner = &self.platform.0.runner;
        let mut items = runner.items(&task, Cursor::START);
        while let Some(item) = items.next().await {
            match item {
                Ok(item) => match item.item {
                    OutputItem::Ended { exit } => {
                        unwatched.name = None;
                        return Ok(exit);
                    }
                    item => each(item).await,
                },
                Err(TaskError::Unknown) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Exit::Lost)
    }

    /// The commands of this app that run, and those that ended and are still known, the oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the runner cannot be asked.
    pub async fn runs(&self) -> Result<Vec<TaskInfo>> {
        let tasks = self.platform.0.runner.tasks(Some(&self.app.reference())).await?;
        Ok(tasks.into_iter().filter(|task| task.task.kind == TaskKind::Run).collect())
    }

    /// Ends a command.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not known, or no longer.
    pub async fn stop_run(&self, name: &TaskName) -> Result<()> {
        if !self.runs().await?.iter().any(|run| run.task.name == *name) {
            return Err(self.no_run(name));
        }
        let scope = StopScope::Task(name.clone());
        Ok(self.platform.0.runner.stop(&self.app.reference(), &scope, Attempt(0)).await?)
    }

    fn run_ref(&self, name: &TaskName) -> TaskRef {
        TaskRef { app: self.app.reference(), kind: TaskKind::Run, name: name.clone() }
    }

    fn no_run(&self, name: &TaskName) -> Error {
        Error::NotFound { what: Kind::Run, name: format!("{name} of {}", self.name()) }
    }

    async fn live_or_base(&self, state: &AppState) -> Result<LoadedRelease> {
        if let Some(live) = state.head.value.live
            && let Some(loaded) = load_release(self.platform.store(), self.name(), live).await?
            && loaded.build.is_some()
        {
            return Ok(loaded);
        }
        self.loaded(state.base()).await
    }
}
