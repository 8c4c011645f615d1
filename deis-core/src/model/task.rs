//! Tasks: processes that run to their end. Builds, release commands, one-off commands.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    AppRef, Artifact, Attempt, Command, Environment, Exit, ProcessType, ReleaseVersion, TaskName, Timestamp,
};

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
    /// After this time in [`TaskState::Running`] it is killed whole.
    pub limit: Duration,
    /// Whether it ends with the process that started it.
    pub life: TaskLife,
    /// How its output is kept apart, and what happens when nobody takes it.
    pub output: TaskOutput,
    /// Where its standard input comes from.
    pub input: TaskInput,
}

impl Task {
    /// A task as builds and release commands are: bound, without input, with both streams in one order, of which
    /// the oldest goes when it becomes too much.
    ///
    /// ```
    /// use std::time::Duration;
    /// use deis_core::{
    ///     AppName,
    ///     model::{AppRef, AppUid, Program, Task, TaskKind, TaskName, Tool},
    /// };
    ///
    /// let app = AppRef { name: AppName::new("blog")?, uid: AppUid(uuid::Uuid::new_v4()) };
    /// let program = Program::Tool { tool: Tool::Builder, input: Vec::new() };
    /// let task = Task::new(app, TaskKind::Build, TaskName::new("build-7")?, program, Duration::from_secs(900));
    /// assert_eq!(task.reference().kind, TaskKind::Build);
    /// # Ok::<(), deis_core::model::InvalidName>(())
    /// ```
    pub fn new(app: AppRef, kind: TaskKind, name: TaskName, program: Program, limit: Duration) -> Self {
        Self {
            app,
            name,
            kind,
            attempt: Attempt(0),
            release: None,
            program,
            env: Environment::new(),
            limit,
            life: TaskLife::Bound,
            output: TaskOutput { streams: TaskStreams::Merged, when_full: WhenFull::Drop },
            input: TaskInput::Closed,
        }
    }

    /// By what it is asked for.
    pub fn reference(&self) -> TaskRef {
        TaskRef { app: self.app.clone(), kind: self.kind, name: self.name.clone() }
    }
}

/// What a task is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskRef {
    /// Whose it is.
    pub app: AppRef,
    /// Its kind.
    pub kind: TaskKind,
    /// Its name.
    pub name: TaskName,
}

/// Kinds of task. Each kind of an app has a fence of its own, so that a release command does not end a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Turns source into an artifact.
    Build,
    /// The `release` process type, between staging and rolling.
    Release,
    /// A one-off command of a user.
    Run,
}

impl TaskKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Build, Self::Release, Self::Run];

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
    /// A program of the platform. Each runner knows where to find it.
    Tool {
        /// Which one.
        tool: Tool,
        /// What it reads on standard input, then end of file. At most [`Tool::MAX_INPUT`] bytes; never on disk.
        input: Vec<u8>,
    },
}

/// Programs of the platform that run as tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Tool {
    /// Turns source into an artifact.
    Builder,
}

impl Tool {
    /// Largest input of a tool, in bytes.
    pub const MAX_INPUT: usize = 16 << 20;
}

/// What ends a task besides itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskLife {
    /// The end of the platform process that started it. Its output and its end are still known then.
    Bound,
    /// Nothing: whoever comes after that process finds it by its name.
    Detached,
}

/// What becomes of a task's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOutput {
    /// Whether standard output and standard error are told apart.
    pub streams: TaskStreams,
    /// What happens when [`MAX_TASK_OUTPUT`](crate::port::MAX_TASK_OUTPUT) is kept already.
    pub when_full: WhenFull,
}

/// Whether standard output and standard error are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStreams {
    /// One pipe, so one order: builds, release commands, terminals.
    Merged,
    /// Two pipes: each in its own order, which says nothing of the other's.
    Apart,
}

/// What happens to output that finds no room any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The oldest goes. A reader who has not come so far is told how much was lost.
    Drop,
    /// The process is no longer read from until a reader has taken what there is. Without any reader for
    /// [`HOLD_LIMIT`](crate::port::HOLD_LIMIT) the task is stopped.
    Hold,
}

/// Where a task's standard input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskInput {
    /// There is none; a tool reads what it was started with.
    Closed,
    /// A writer's pipe.
    Open,
    /// A terminal: input and output are one device, and the streams are merged.
    Terminal(TerminalSize),
}

/// How large a terminal is, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// Signals that a writer can send to a task's process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TaskSignal {
    /// SIGHUP.
    Hup,
    /// SIGINT: what Ctrl-C means where there is no terminal.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGKILL.
    Kill,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGTERM.
    Term,
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
    /// What it needs is being fetched; its limit does not count yet.
    Starting,
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

impl TaskState {
    /// Whether it is starting or running.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }
}

/// A task in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// Which one.
    pub task: TaskRef,
    /// Its fence.
    pub attempt: Attempt,
    /// Whether it ends with the process that started it.
    pub life: TaskLife,
    /// How it is. The last lines are left out of a list.
    pub state: TaskState,
    /// When it was accepted.
    pub since: Timestamp,
}
