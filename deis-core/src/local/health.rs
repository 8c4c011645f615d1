//! When an instance takes requests, when it does not, and when it is to be started again.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    check, folder,
    instance::{Running, Supervisor},
    launch, proc,
    shim::{Start, State, since},
    slot::Slot,
    task,
};
use crate::model::{Cause, InstanceState, Probe, Template};

/// How often a ready instance without a check of its own is asked whether it still listens.
const STILL_LISTENS: Duration = Duration::from_secs(10);
/// So many refusals in a row mean that it does not.
const REFUSALS: u32 = 3;
/// How often one looks where a process listens that does not listen where it should.
const LOOK_ELSEWHERE: Duration = Duration::from_secs(1);
/// How long an adopted instance may take to accept a connection, to be in rotation at once.
const ADOPTION: Duration = Duration::from_millis(500);

/// The checks of one run of an instance.
pub(super) struct Health<'a> {
    supervisor: &'a Supervisor,
    running: &'a Running,
    begun: Instant,
}

/// What makes an instance ready.
enum Readiness {
    /// It accepts connections on `$PORT`.
    Listens,
    /// It has run for a while.
    Runs,
    /// It passes a probe.
    Probe(Probe),
}

/// Why a check did not pass.
struct Failure {
    reason: String,
    /// Whether nobody listens on `$PORT`.
    refused: bool,
}

/// Results in a row.
#[derive(Default)]
struct Streak {
    passes: u32,
    failures: u32,
}

/// Ports that a process listens on while its own stays silent.
struct Elsewhere {
    looked: Instant,
    since: Option<Instant>,
    found: Vec<u16>,
}

impl<'a> Health<'a> {
    pub(super) fn new(supervisor: &'a Supervisor, running: &'a Running) -> Self {
        Self { supervisor, running, begun: Instant::now() }
    }

    /// Keeps the instance's state up to date. Returns only if it is to be started again.
    pub(super) async fn watch(&self) -> Cause {
        tokio::select! {
            cause = self.readiness() => cause,
            cause = self.liveness() => cause,
        }
    }

    /// Returns only if somebody else has its port.
    async fn readiness(&self) -> Cause {
        let (mut ready, proven) = self.found();
        let mut streak = Streak::default();
        let mut elsewhere = Elsewhere { looked: self.begun, since: None, found: Vec::new() };
        if !proven {
            // What it has to pass, only its template says.
            self.supervisor.known_template().await;
        }
        loop {
            let template = self.supervisor.template();
            let by = self.readiness_by(template.as_deref());
            if let (false, Readiness::Probe(probe)) = (ready, &by) {
                let delay = seconds(probe.initial_delay_seconds);
                sleep(delay.saturating_sub(self.age())).await;
            }
            let (passes, refusals) = match &by {
                Readiness::Probe(probe) => (probe.success_threshold.max(1), probe.failure_threshold.max(1)),
                Readiness::Listens | Readiness::Runs => (1, REFUSALS),
            };
            match self.is_ready(&by, template.as_ref()).await {
                Ok(address) => {
                    streak.pass();
                    // A proxy may have found it refusing connections since the last check.
                    let Supervisor { table, app, name, .. } = self.supervisor;
                    table.options.endpoints.passed(app.uid, name);
                    if !ready && streak.passes >= passes {
                        if is_taken(&self.running.state).await {
                            let reason = format!("port {} is taken by another process", self.port());
                            return Cause::Unschedulable { reason };
                        }
                        ready = true;
                        self.report_ready(address).await;
                    }
                }
                // One that is too busy to accept still does what it is for.
                Err(failure) if ready && !failure.refused && matches!(by, Readiness::Listens) => {}
                Err(failure) if ready => {
                    streak.fail();
                    if streak.failures >= refusals {
                        ready = false;
                        self.report_unready(self.cause(&failure, &[])).await;
                    }
                }
                Err(failure) => {
                    streak.fail();
                    self.not_ready(&by, &failure, streak.failures >= refusals, &mut elsewhere).await;
                }
            }
            if ready && template.is_some() && matches!(by, Readiness::Runs) {
                std::future::pending::<()>().await;
            }
            let pause = sleep(self.pause(&by, ready));
            if template.is_some() {
                pause.await;
            } else {
                tokio::select! {
                    () = pause => {}
                    _ = self.supervisor.known_template() => streak = Streak::default(),
                }
            }
        }
    }

    async fn liveness(&self) -> Cause {
        let mut streak = Streak::default();
        let template = self.supervisor.known_template().await;
        let Some(probe) = &template.probes.liveness else {
            return std::future::pending().await;
        };
        loop {
            sleep(seconds(probe.initial_delay_seconds).saturating_sub(self.age())).await;
            match self.probe(probe, &template, "check-alive").await {
                Ok(_) => streak.pass(),
                Err(failure) => {
                    streak.fail();
                    if streak.failures >= probe.failure_threshold.max(1) {
                        let process = self.supervisor.process.clone();
                        return Cause::Probe { process, reason: failure.reason };
                    }
                }
            }
            sleep(seconds(probe.period_seconds.max(1))).await;
        }
    }

    /// Whether it is ready already, as one that was adopted may be, and whether it ever was.
    fn found(&self) -> (bool, bool) {
        let Supervisor { table, app, name, .. } = self.supervisor;
        let known = |slot: &Slot| (slot.state == InstanceState::Ready, slot.proven);
        table.read(app.uid, |app| app.slots.get(name).map(known)).flatten().unwrap_or_default()
    }

    /// How long the process has run, also under a platform process before this one.
    fn age(&self) -> Duration {
        since(self.running.state.started)
    }

    fn readiness_by(&self, template: Option<&Template>) -> Readiness {
        match template.and_then(|t| t.probes.readiness.clone()) {
            Some(probe) => Readiness::Probe(probe),
            None if self.running.state.identity.routable => Readiness::Listens,
            None => Readiness::Runs,
        }
    }

    /// Checks once. The address is where requests go.
    async fn is_ready(
        &self,
        by: &Readiness,
        template: Option<&Arc<Template>>,
    ) -> Result<SocketAddr, Failure> {
        let port = self.port();
        match (by, template) {
            (Readiness::Probe(probe), Some(template)) => self.probe(probe, template, "check-ready").await,
            (Readiness::Runs, _) => {
                let settled = self.age() >= self.supervisor.table.options.timing.settle;
                let failure = || Failure { reason: "it has just started".to_owned(), refused: false };
                settled.then_some((Ipv4Addr::LOCALHOST, port).into()).ok_or_else(failure)
            }
            _ => listens(port).await,
        }
    }

    async fn probe(&self, probe: &Probe, template: &Template, place: &str) -> Result<SocketAddr, Failure> {
        let port = self.port();
        let limit = seconds(probe.timeout_seconds.max(1));
        if let Some(exec) = &probe.exec {
            let passed = self.exec(&exec.command, template, limit, place).await;
            let failed = |reason| Failure { reason, refused: false };
            return passed.map(|()| (Ipv4Addr::LOCALHOST, port).into()).map_err(failed);
        }
        let asked = async {
            let address = listens(port).await?;
            match &probe.http_get {
                Some(http) => {
                    check::http(port, http).await.map_err(|reason| Failure { reason, refused: false })
                }
                None => Ok(address),
            }
        };
        tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| {
            Err(Failure { reason: format!("no answer within {} s", limit.as_secs()), refused: false })
        })
    }

    async fn exec(
        &self,
        command: &[String],
        template: &Template,
        limit: Duration,
        place: &str,
    ) -> Result<(), String> {
        let Some((program, args)) = command.split_first() else {
            return Err("its command is empty".to_owned());
        };
        let options = &self.supervisor.table.options;
        let folder = self.supervisor.table.folder(&self.supervisor.app, &self.supervisor.name);
        let home = folder::files(&folder);
        let env = launch::environment(options, template, self.port(), &home);
        let start = Start::Program { program: Path::new(program).into(), argv0: None, args: args.to_vec() };
        task::run_quietly(options, folder.join(place), start, env, home, limit).await
    }

    /// Looks for the reason and judges it: what listens elsewhere, or takes too long, is failing.
    async fn not_ready(&self, by: &Readiness, failure: &Failure, known: bool, elsewhere: &mut Elsewhere) {
        let timing = &self.supervisor.table.options.timing;
        let look = LOOK_ELSEWHERE.min(timing.not_listening_after / 4);
        if failure.refused && elsewhere.looked.elapsed() >= look {
            elsewhere.look(self.running.state.shim.pid, self.port()).await;
        }
        let listens_elsewhere = elsewhere.since.is_some_and(|at| at.elapsed() >= timing.not_listening_after);
        let delay = match by {
            Readiness::Probe(probe) => seconds(probe.initial_delay_seconds),
            Readiness::Listens | Readiness::Runs => Duration::ZERO,
        };
        let late = self.begun.elapsed() >= timing.start_budget + delay;
        // A port that is not open yet is how every start begins, and no news.
        let news = known && (!failure.refused || !elsewhere.found.is_empty());
        if listens_elsewhere || (late && !matches!(by, Readiness::Runs)) {
            self.report_failing(self.cause(failure, &elsewhere.found));
        } else if news && !matches!(by, Readiness::Runs) {
            self.report_trouble(self.cause(failure, &elsewhere.found));
        }
    }

    fn cause(&self, failure: &Failure, found: &[u16]) -> Cause {
        let process = self.supervisor.process.clone();
        if failure.refused {
            Cause::NotListening { process, port: self.port(), found: found.to_vec() }
        } else {
            Cause::Probe { process, reason: failure.reason.clone() }
        }
    }

    fn pause(&self, by: &Readiness, ready: bool) -> Duration {
        match by {
            Readiness::Probe(probe) if ready => seconds(probe.period_seconds.max(1)),
            Readiness::Probe(probe) => seconds(probe.period_seconds.clamp(1, 2)) / 2,
            Readiness::Listens | Readiness::Runs if ready => STILL_LISTENS,
            // A process that is about to listen is not kept waiting; one that takes long is not pestered.
            Readiness::Listens | Readiness::Runs => match self.begun.elapsed().as_millis() {
                0..500 => Duration::from_millis(10),
                500..3_000 => Duration::from_millis(25),
                3_000..15_000 => Duration::from_millis(100),
                _ => Duration::from_millis(250),
            },
        }
    }

    async fn report_ready(&self, address: SocketAddr) {
        let Supervisor { table, app, name, process, .. } = self.supervisor;
        let routable = self.running.state.identity.routable;
        // Before anything is stopped because of it.
        self.remember(true).await;
        table.change(app, name, |slot| {
            if slot.is_leaving() {
                return;
            }
            slot.state = InstanceState::Ready;
            slot.proven = true;
            if routable {
                table.options.endpoints.add(app.uid, process, name, &slot.id, address);
            }
        });
    }

    async fn report_unready(&self, cause: Cause) {
        let Supervisor { table, app, name, .. } = self.supervisor;
        table.options.endpoints.drain(app.uid, name);
        self.report(InstanceState::Unready, cause);
        self.remember(false).await;
    }

    /// For a platform process after this one.
    async fn remember(&self, ready: bool) {
        let folder = self.supervisor.folder();
        let marked = tokio::task::spawn_blocking(move || folder::mark_ready(&folder, ready)).await;
        if let Ok(Err(error)) = marked {
            tracing::warn!(instance = %self.supervisor.name, %error, "it cannot be noted that the instance is ready");
        }
    }

    fn report_failing(&self, cause: Cause) {
        self.report(InstanceState::Failing { cause: cause.clone() }, cause);
    }

    fn report(&self, state: InstanceState, cause: Cause) {
        let Supervisor { table, app, name, .. } = self.supervisor;
        table.change(app, name, |slot| {
            slot.trouble = Some(cause);
            if !slot.is_leaving() {
                slot.state = state;
            }
        });
    }

    fn report_trouble(&self, cause: Cause) {
        let Supervisor { table, app, name, .. } = self.supervisor;
        table.change(app, name, |slot| slot.trouble = Some(cause));
    }

    fn port(&self) -> u16 {
        self.running.state.identity.port
    }
}

impl Streak {
    fn pass(&mut self) {
        (self.passes, self.failures) = (self.passes.saturating_add(1), 0);
    }

    fn fail(&mut self) {
        (self.passes, self.failures) = (0, self.failures.saturating_add(1));
    }
}

impl Elsewhere {
    async fn look(&mut self, shim: i32, port: u16) {
        self.looked = Instant::now();
        let found = tokio::task::spawn_blocking(move || proc::listening(&proc::descendants(shim))).await;
        self.found = found.unwrap_or_default();
        self.found.retain(|other| *other != port);
        if self.found.is_empty() {
            self.since = None;
        } else {
            self.since.get_or_insert_with(Instant::now);
        }
    }
}

/// Where a process that runs already takes requests, if it does.
pub(super) async fn answers(state: &State) -> Option<SocketAddr> {
    if !state.identity.routable {
        return None;
    }
    let address = tokio::time::timeout(ADOPTION, listens(state.identity.port)).await.ok()?.ok()?;
    (!is_taken(state).await).then_some(address)
}

/// Whether somebody else listens on its port: then whoever answered there was not this instance.
async fn is_taken(state: &State) -> bool {
    if !state.identity.routable {
        return false;
    }
    let (port, shim) = (state.identity.port, state.shim.pid);
    let looked = tokio::task::spawn_blocking(move || proc::is_taken(port, &proc::descendants(shim)));
    looked.await.unwrap_or(false)
}

async fn listens(port: u16) -> Result<SocketAddr, Failure> {
    check::accepts(port).await.map_err(|error| Failure {
        reason: format!("port {port}: {error}"),
        refused: error.kind() == std::io::ErrorKind::ConnectionRefused,
    })
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}
