//! One check of an instance: whether it is ready, whether it is alive.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use crate::{
    local::{
        instance::context::InstanceContext,
        instance::probe,
        process::launch,
        run_dir::{format, record::InstanceRecord},
        shim::Start,
        task::run,
        time::since,
    },
    model::{Probe, Template},
    os::proc,
};

/// How long an adopted instance may take to accept a connection, to be in rotation at once.
const ADOPTION: Duration = Duration::from_millis(500);
/// A ready instance without a check of its own is asked this often whether it still listens.
const STILL_LISTENS: Duration = Duration::from_secs(10);
/// So many refusals in a row mean that it does not.
const REFUSALS: u32 = 3;
/// How often an instance is looked at that has yet to become available, and one about which there is doubt.
const LOOK: Duration = Duration::from_millis(100);

/// What makes an instance ready.
#[derive(Debug)]
pub(in crate::local) enum Readiness {
    /// It accepts connections on `$PORT`.
    Listens,
    /// It has run for a while.
    Runs,
    /// It passes a probe.
    Probe(Probe),
}

/// Why a check did not pass.
#[derive(Debug)]
pub(in crate::local) struct Failure {
    pub(in crate::local) reason: String,
    /// Whether nobody listens on `$PORT`.
    pub(in crate::local) refused: bool,
}

/// How far an instance is, as far as the time of its next check depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::local) enum Stage {
    /// It was not ready yet, or is not ready again; it has run for so long.
    NotReady(Duration),
    /// It is ready and has yet to become available.
    Ready,
    /// It is available, and its last check failed or a connection to it was refused.
    Doubtful,
    /// It is available.
    Available,
}

impl Readiness {
    /// What the template says, or where it says nothing or is not known yet, the default of the type.
    pub(in crate::local) fn of(template: Option<&Template>, routable: bool) -> Self {
        match template.and_then(|t| t.probes.readiness.clone()) {
            Some(probe) => Self::Probe(probe),
            None if routable => Self::Listens,
            None => Self::Runs,
        }
    }

    /// Passed checks in a row that make an instance ready.
    pub(in crate::local) fn passes(&self) -> u32 {
        match self {
            Self::Probe(probe) => probe.success_threshold.max(1),
            Self::Listens | Self::Runs => 1,
        }
    }

    /// Failed checks in a row that take the readiness from an instance.
    pub(in crate::local) fn failures(&self) -> u32 {
        match self {
            Self::Probe(probe) => probe.failure_threshold.max(1),
            Self::Listens | Self::Runs => REFUSALS,
        }
    }

    /// Wait before the first check.
    pub(in crate::local) fn initial_delay(&self) -> Duration {
        match self {
            Self::Probe(probe) => seconds(probe.initial_delay_seconds),
            Self::Listens | Self::Runs => Duration::ZERO,
        }
    }

    /// Wait before the next check.
    pub(in crate::local) fn pause(&self, stage: Stage) -> Duration {
        match (self, stage) {
            (Self::Probe(probe), Stage::Available) => seconds(probe.period_seconds.max(1)),
            // Each of these starts a process, which costs more than the answer is worth that often.
            (Self::Probe(probe), _) if probe.exec.is_some() => seconds(probe.period_seconds.clamp(1, 2)) / 2,
            (Self::Probe(probe), Stage::Doubtful) => seconds(probe.period_seconds.max(1)).min(5 * LOOK),
            (Self::Listens | Self::Runs, Stage::Available) => STILL_LISTENS,
            // A process that is about to listen is not kept waiting.
            (Self::Listens | Self::Runs, Stage::NotReady(age)) => match age.as_millis() {
                0..500 => Duration::from_millis(10),
                500..3_000 => Duration::from_millis(25),
                _ => LOOK,
            },
            (Self::Probe(_), _) | (_, Stage::Ready | Stage::Doubtful) => LOOK,
        }
    }

    /// Checks once. The address is where requests go.
    pub(in crate::local) async fn check(
        &self,
        context: &InstanceContext,
        state: &InstanceRecord,
        template: Option<&Template>,
    ) -> Result<SocketAddr, Failure> {
        let port = state.identity.port;
        match (self, template) {
            (Self::Probe(probe), Some(template)) => {
                run_probe(context, port, probe, template, "check-ready").await
            }
            (Self::Runs, _) => {
                let settled = since(state.started) >= context.table.options.timing.unprobed_ready_after;
                let failure = || Failure { reason: "it has just started".to_owned(), refused: false };
                settled.then_some((Ipv4Addr::LOCALHOST, port).into()).ok_or_else(failure)
            }
            _ => listens(port).await,
        }
    }
}

/// Runs a probe once. `place` is the folder below the instance's that a command of it runs in.
pub(in crate::local) async fn run_probe(
    context: &InstanceContext,
    port: u16,
    probe: &Probe,
    template: &Template,
    place: &str,
) -> Result<SocketAddr, Failure> {
    let limit = seconds(probe.timeout_seconds.max(1));
    if let Some(exec) = &probe.exec {
        let passed = run_command(context, port, &exec.command, template, limit, place).await;
        let failed = |reason| Failure { reason, refused: false };
        return passed.map(|()| (Ipv4Addr::LOCALHOST, port).into()).map_err(failed);
    }
    // A connection first, whatever the probe: that nobody listens is another fault than a bad answer.
    let asked = async {
        let address = listens(port).await?;
        match &probe.http_get {
            Some(http) => probe::http(port, http).await.map_err(|reason| Failure { reason, refused: false }),
            None => Ok(address),
        }
    };
    // One limit for connection and answer together: that is what the person who wrote the probe means.
    tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| {
        Err(Failure { reason: format!("no answer within {} s", limit.as_secs()), refused: false })
    })
}

async fn run_command(
    context: &InstanceContext,
    port: u16,
    command: &[String],
    template: &Template,
    limit: Duration,
    place: &str,
) -> Result<(), String> {
    let Some((program, args)) = command.split_first() else {
        return Err("its command is empty".to_owned());
    };
    let options = &context.table.options;
    let folder = context.folder();
    let home = format::files(&folder);
    let env = launch::environment(options, template, port, &home);
    let start = Start::Program { program: Path::new(program).into(), argv0: None, args: args.to_vec() };
    run::run_quietly(options, folder.join(place), start, env, home, limit).await
}

/// Where a process that runs already takes requests, if it does.
pub(in crate::local) async fn answers(state: &InstanceRecord) -> Option<SocketAddr> {
    if !state.identity.routable {
        return None;
    }
    // The whole platform waits for this at its start, so a process that hangs must not hold it up.
    let address = tokio::time::timeout(ADOPTION, listens(state.identity.port)).await.ok()?.ok()?;
    (!is_taken(state).await).then_some(address)
}

/// Whether somebody else listens on its port: then whoever answered there was not this instance.
pub(in crate::local) async fn is_taken(state: &InstanceRecord) -> bool {
    if !state.identity.routable {
        return false;
    }
    let (port, shim) = (state.identity.port, state.shim.pid);
    let looked = tokio::task::spawn_blocking(move || proc::is_taken(port, &proc::descendants(shim)));
    looked.await.unwrap_or(false)
}

async fn listens(port: u16) -> Result<SocketAddr, Failure> {
    probe::accepts(port).await.map_err(|error| Failure {
        reason: format!("port {port}: {error}"),
        refused: error.kind() == std::io::ErrorKind::ConnectionRefused,
    })
}

pub(in crate::local) fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}
