//! Tasks: processes that run to their end. Builds, release commands, one-off commands.

use std::{path::PathBuf, time::Duration};

use super::{AppRef, Artifact, Attempt, Command, Environment, Exit, ProcessType, ReleaseVersion, TaskName};

/// Something to run to its end. Never stored: it holds secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// For which app.
    pub app: AppRef,
    /// Its name within the app.
    pub name: TaskName,
    /// Which fence it stands behind.
    pub kind: TaskKind,
    /// Its fence.
    pub attempt: Attempt,
    /// Release it runs for, if any; shown in logs.
    pub release: Option<ReleaseVersion>,
    /// What is run.
    pub program: Program,
    /// The whole environment, besides what the runner itself must set (`HOME`, `PATH` when missing).
    pub env: Environment,
    /// After this time it is killed whole.
    pub limit: Duration,
}

/// Kinds of task. Each kind of an app has a fence of its own, so that a release command does not end a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskKind {
    /// Turns source into an artifact.
    Build,
    /// The `release` process type, between staging and rolling.
    Release,
    /// A one-off command of a user.
    Run,
}

impl TaskKind {
    /// The word that stands for the process type in log lines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Release => "release",
            Self::Run => "run",
        }
    }

    /// The same as a process type.
    pub fn process(self) -> ProcessType {
        ProcessType::new(self.word()).expect("the words are valid process types")
    }
}

/// What a task runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A command in a private copy of an artifact (with `.profile.d` loaded where a shell reads it).
    Launch {
        /// The folder to run it in.
        artifact: Artifact,
        /// The command.
        command: Command,
    },
    /// A program of the operator's, without any shell.
    Exec {
        /// Absolute path.
        program: PathBuf,
        /// Name that it is called by (`argv[0]`); the path if `None`.
        argv0: Option<String>,
        /// Arguments.
        args: Vec<String>,
        /// Working directory.
        directory: PathBuf,
        /// What it reads on standard input, then end of file.
        stdin: Vec<u8>,
    },
}

/// What a runner knows of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskObservation {
    /// Highest attempt that was started or stopped for this kind.
    pub fence: Attempt,
    /// Whether a task of this kind with an attempt below the fence still runs.
    pub older_running: bool,
    /// The task asked for.
    pub state: TaskState,
}

/// State of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Never heard of it, or forgotten.
    Unknown,
    /// It runs.
    Running,
    /// It ended.
    Ended {
        /// How.
        exit: Exit,
        /// The last lines that it printed.
        last_lines: Vec<String>,
    },
}
