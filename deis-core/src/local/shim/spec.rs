//! What a shim is told to run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    local::run_dir::record::InstanceIdentity,
    model::{Environment, TaskInput, TaskLife, TaskOutput},
};

/// One instance or task; given to the shim on standard input, never written anywhere.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// Folder of the lock, the state, the end and the output.
    pub(crate) folder: PathBuf,
    /// What is run.
    pub(crate) start: Start,
    /// The whole environment.
    pub(crate) env: Environment,
    /// Working directory.
    pub(crate) directory: PathBuf,
    /// Between SIGTERM and SIGKILL.
    pub(crate) grace_ms: u64,
    /// After so long the child is killed.
    pub(crate) limit_ms: Option<u64>,
    /// How many files the child may open before it asks for more; `None`: as many as this process.
    pub(crate) open_files: Option<u64>,
    /// What it is to the platform.
    pub(crate) job: Job,
}

/// What is run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Start {
    /// A command line, read by a shell that becomes the app's process.
    Shell {
        /// The command line.
        command: String,
    },
    /// A program.
    Program {
        /// Its path.
        program: PathBuf,
        /// The name it is called by, when another.
        argv0: Option<String>,
        /// Its arguments.
        args: Vec<String>,
    },
}

/// What the child is to the platform: by that its output is kept, and its life hangs on something.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// An instance: its output goes into files line by line; it lives on when the platform process ends.
    Instance {
        /// Who it is; kept beside the output, for adoption.
        identity: Box<InstanceIdentity>,
        /// Lines that the platform says before anything else.
        notices: Vec<String>,
    },
    /// A task: its output goes into files byte by byte, with a socket beside them.
    Task(Box<TaskSpec>),
}

/// What makes a task of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TaskSpec {
    /// Whether it ends when the shim's standard input closes.
    pub(crate) life: TaskLife,
    /// What becomes of its output.
    pub(crate) output: TaskOutput,
    /// Where its input comes from.
    pub(crate) input: TaskInput,
    /// So many bytes follow the specification: a tool's input.
    pub(crate) input_bytes: u64,
}
