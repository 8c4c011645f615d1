//! One-off commands.

use std::time::Duration;

use tokio::sync::mpsc;
use uuid::Uuid;

use super::{formation::must_build, handle::AppHandle};
use crate::{
    error::{Error, Result},
    model::{Attempt, Exit, LogLevel, Program, Task, TaskKind, TaskName, TaskState},
    plan::{
        constants::MAX_ENV_VARIABLE,
        lower::{Purpose, Source, environment},
    },
    port::OutputSender,
    state::apps::{AppState, LoadedRelease, load_release},
};

impl AppHandle {
    /// Runs a command with build and config of the live release and waits for its end; before a release with a
    /// build is live, with those of the one that is to become it. Its environment is that of every process of the release.
    ///
    /// Output goes to `output` line by line. The future can be dropped: the command goes on to its limit.
    pub async fn run(&self, command: &str, output: OutputSender) -> Result<Exit> {
        if command.trim().is_empty() {
            return Err(Error::refused("command is a required field"));
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
        let source = Source { app: &app, release: &base.release, build, config: &base.config };
        let id: String = Uuid::new_v4().simple().to_string().chars().take(8).collect();
        let name = TaskName::new(format!("run-{id}")).map_err(|e| Error::Internal(Box::new(e)))?;
        let task = Task {
            app: app.clone(),
            name: name.clone(),
            kind: TaskKind::Run,
            attempt: Attempt(0),
            release: Some(base.release.version),
            program: Program::Launch { artifact: build.spec.artifact.clone(), command: command.into() },
            env: environment(source, Purpose::OneOff),
            limit: self.platform.0.options.run_limit,
        };
        // A log that cannot be written is no reason to refuse the command.
        let _ = self.say(LogLevel::Info, format!("{} on {name} runs '{command}'", self.actor.name())).await;
        // The runner drops its sender when the task ends: a signal to look, without polling.
        let (sender, mut lines) = mpsc::channel(1024);
        let runner = &self.platform.0.runner;
        runner.start(task, sender).await?;
        while let Some(line) = lines.recv().await {
            let _ = output.send(line).await;
        }
        loop {
            match runner.observe(&app, TaskKind::Run, &name).await?.state {
                TaskState::Ended { exit, .. } => return Ok(exit),
                TaskState::Unknown => return Ok(Exit::Lost),
                TaskState::Running => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
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
