//! Plain data: names, records and desired state. No I/O, no clock, no randomness.

mod account;
mod app;
mod build;
mod build_run;
mod cause;
mod change;
mod command;
mod config;
mod digest;
mod domain;
mod event;
mod formation;
mod healthcheck;
mod id;
mod log;
mod name;
mod observation;
mod procfile;
mod push;
mod release;
mod rollout;
mod route;
mod secret;
mod shown;
mod similar;
mod task;
mod workload;

pub use account::{Actor, Grant, Role, SshKey, User};
pub use app::{App, AppStatus, AppSummary, Gone, Head, PlatformRecord, ReleaseRef};
pub use build::{Artifact, Build, BuildKind, BuildSource, BuildSpec, GitSource};
pub use build_run::{BuildRun, BuildRunState};
pub use cause::{Cause, Exit};
pub use change::{Difference, Plan, PlanStep};
pub use command::Command;
pub use config::{Config, ConfigData, ConfigPatch, MapPatch};
pub use digest::{Digest, Projection};
pub use domain::{Domain, Zone};
pub use event::{Event, EventKind};
pub use formation::Formation;
pub use healthcheck::{ExecCheck, HealthCheckPatch, HealthChecks, HttpCheck, HttpHeader, Probe, TcpCheck};
pub use id::{
    AppRef, AppUid, Attempt, BuildId, ConfigId, Generation, PlatformId, ReleaseVersion, TemplateId,
    Timestamp, UserId,
};
pub use log::{LineId, LogLevel, LogLine, LogQuery, LogSource};
pub use name::{AppName, DomainName, EnvKey, InstanceName, InvalidName, ProcessType, TaskName, Username};
pub use observation::{Instance, InstanceState, Observation, Stall};
pub use procfile::{ProcfileError, parse_procfile};
pub use push::{Push, PushOutcome, RefUpdate};
pub use release::{Outcome, Release};
pub use rollout::{Phase, ReleaseCommand, Rollout, RolloutEnd};
pub use route::{AppRoutes, RouteFence, RouteMode};
pub use secret::{Environment, Secret};
pub use shown::shown;
pub use similar::probably_meant;
pub use task::{
    Program, Task, TaskInfo, TaskInput, TaskKind, TaskLife, TaskObservation, TaskOutput, TaskRef, TaskSignal,
    TaskState, TaskStreams, TerminalSize, Tool, WhenFull,
};
pub use workload::{Amount, Hooks, Launch, Limits, ProcessGroup, RegistryAuth, Template, Workload};
