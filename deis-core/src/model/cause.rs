//! Why a rollout failed: typed evidence, a sentence for people and the next step to take.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ProcessType;

/// Why something that should run does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "cause")]
#[non_exhaustive]
pub enum Cause {
    /// The artifact or image cannot be fetched.
    Artifact {
        /// What the store said.
        reason: String,
    },
    /// The process ends again and again.
    CrashLoop {
        /// Which process type.
        process: ProcessType,
        /// How it ended last.
        exit: Exit,
        /// The last lines that it printed.
        last_lines: Vec<String>,
    },
    /// The process runs and does not listen where it should.
    NotListening {
        /// Which process type.
        process: ProcessType,
        /// The port it was given.
        port: u16,
        /// The ports it listens on instead.
        found: Vec<u16>,
        /// Whether it listens on the port, but only for connections from its own host.
        #[serde(default)]
        loopback: bool,
    },
    /// An image cannot be fetched.
    ImagePull {
        /// The image, by name and digest.
        image: String,
        /// What the registry said.
        reason: String,
    },
    /// The process needed more memory than it may have, and was killed for it.
    OutOfMemory {
        /// Which process type.
        process: ProcessType,
        /// Its limit, as configured; `None` if the machine itself ran out.
        limit: Option<String>,
        /// The last lines that it printed.
        last_lines: Vec<String>,
    },
    /// Its machine put the process out, to protect itself.
    Evicted {
        /// Which process type.
        process: ProcessType,
        /// What the machine was short of.
        reason: String,
    },
    /// The machine that ran the process does not answer any more.
    NodeLost {
        /// Which process type.
        process: ProcessType,
        /// The machine.
        node: String,
    },
    /// A health check keeps failing.
    Probe {
        /// Which process type.
        process: ProcessType,
        /// What the check said.
        reason: String,
    },
    /// No machine can take it.
    Unschedulable {
        /// What the scheduler said.
        reason: String,
    },
    /// A quota is used up.
    Quota {
        /// What the scheduler said.
        reason: String,
    },
    /// The scheduler refuses the workload.
    Rejected {
        /// What the scheduler said.
        reason: String,
    },
    /// The release command failed.
    ReleaseCommand {
        /// How it ended; `None` if it was interrupted and may not be run twice.
        exit: Option<Exit>,
        /// The last lines that it printed.
        last_lines: Vec<String>,
    },
    /// The time for a step ran out.
    Timeout {
        /// The step ("rolling", "routing", "release command").
        step: String,
        /// The budget, in seconds of active time.
        seconds: u64,
        /// What was still missing, for people.
        detail: String,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Its end was not seen (machine restart).
    Lost,
    /// It ran longer than allowed and was stopped.
    TimedOut,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Lost => f.write_str("an end that nobody saw"),
            Self::TimedOut => f.write_str("its time limit"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Artifact { reason } => write!(f, "the build could not be fetched: {reason}"),
            Self::CrashLoop { process, exit, last_lines } => {
                write!(f, "process {process} keeps ending with {exit}")?;
                write_lines(f, last_lines)
            }
            Self::NotListening { process, port, loopback: true, .. } => {
                write!(f, "process {process} listens on $PORT ({port}) for its own host only")
            }
            Self::NotListening { process, port, found, .. } if found.is_empty() => {
                write!(f, "process {process} runs but does not listen on $PORT ({port})")
            }
            Self::NotListening { process, port, found, .. } => {
                let found: Vec<String> = found.iter().map(u16::to_string).collect();
                write!(f, "process {process} listens on {} instead of $PORT ({port})", found.join(", "))
            }
            Self::ImagePull { image, reason } => write!(f, "the image {image} cannot be fetched: {reason}"),
            Self::OutOfMemory { process, limit, last_lines } => {
                match limit {
                    Some(limit) => write!(f, "process {process} used more than its {limit} of memory")?,
                    None => write!(f, "process {process} was killed because its machine ran out of memory")?,
                }
                write_lines(f, last_lines)
            }
            Self::Evicted { process, reason } => {
                write!(f, "process {process} was put out by its machine: {reason}")
            }
            Self::NodeLost { process, node } => {
                write!(f, "the machine {node} that ran process {process} does not answer")
            }
            Self::Probe { process, reason } => {
                write!(f, "process {process} fails its health check: {reason}")
            }
            Self::Unschedulable { reason } => write!(f, "no machine can run it: {reason}"),
            Self::Quota { reason } => write!(f, "the quota is used up: {reason}"),
            Self::Rejected { reason } => write!(f, "the scheduler refused it: {reason}"),
            Self::ReleaseCommand { exit: Some(exit), last_lines } => {
                write!(f, "the release command ended with {exit}")?;
                write_lines(f, last_lines)
            }
            Self::ReleaseCommand { exit: None, .. } => f.write_str("the release command was interrupted"),
            Self::Timeout { step, seconds, detail } if detail.is_empty() => {
                write!(f, "{step} took longer than {seconds} s")
            }
            Self::Timeout { step, seconds, detail } => {
                write!(f, "{step} took longer than {seconds} s: {detail}")
            }
        }
    }
}

fn write_lines(f: &mut fmt::Formatter<'_>, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return f.write_str("; it printed nothing");
    }
    f.write_str("; its last lines:")?;
    lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
}

impl Cause {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Artifact { .. } => {
                "deploy again; if it persists, the operator can find out why the platform cannot read the build".to_owned()
            }
            Self::CrashLoop { exit: Exit::Code(127), .. } => {
                "the command was not found: check the Procfile and the installed dependencies".to_owned()
            }
            Self::CrashLoop { .. } => {
                "run `deis logs` for its whole output and fix the start of the process".to_owned()
            }
            Self::NotListening { .. } => {
                "make the process listen on 127.0.0.1, or the address in the HOST variable, and on the port in the PORT \
                 variable"
                    .to_owned()
            }
            Self::ImagePull { .. } => {
                "check that the image exists and that the app's registry settings may fetch it, then deploy again"
                    .to_owned()
            }
            Self::OutOfMemory { .. } => {
                "make the process use less memory, or give its type a larger limit".to_owned()
            }
            Self::Evicted { .. } => {
                "limit the memory and disk that the process uses, or ask the operator for more room".to_owned()
            }
            Self::NodeLost { .. } => "deploy again; if it persists, ask the operator about the machine".to_owned(),
            Self::Probe { .. } => {
                "check the path and port of the health check, and how long the start takes".to_owned()
            }
            Self::Unschedulable { .. } => {
                "check the app's tags and limits; if they are right, ask the operator to make room for it".to_owned()
            }
            Self::Quota { .. } => "scale something down, or ask the operator for a larger quota".to_owned(),
            Self::Rejected { .. } => "change what the message names and deploy again".to_owned(),
            Self::ReleaseCommand { exit: None, .. } => {
                "it may have run in part and is never run twice by itself: check its work, then deploy again"
                    .to_owned()
            }
            Self::ReleaseCommand { .. } => {
                "fix the command of the `release` process type and deploy again".to_owned()
            }
            Self::Timeout { .. } => "run `deis logs` and `deis ps` to see what it waits for".to_owned(),
        }
    }
}
