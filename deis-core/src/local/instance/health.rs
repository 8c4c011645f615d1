//! When an instance takes requests, when it does not, and when it is to be started again.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    local::{
        instance::availability::Availability,
        instance::context::InstanceContext,
        instance::readiness::{Failure, Readiness, Stage, is_taken, run_probe, seconds},
        instance::wrong_port::WrongPortDetector,
        run_dir::record::{self, InstanceRecord},
        table::entry::Milestone,
        time::since,
    },
    model::{Cause, InstanceState},
};

/// How often one looks where a process listens that does not listen where it should.
const LOOK_ELSEWHERE: Duration = Duration::from_secs(1);

/// The checks of one run of an instance.
pub(in crate::local) struct Health<'a> {
    context: &'a InstanceContext,
    state: &'a InstanceRecord,
    begun: Instant,
}

/// Results in a row.
#[derive(Default)]
struct Streak {
    passes: u32,
    failures: u32,
}

/// What the checks so far have shown.
struct CheckHistory {
    ready: bool,
    streak: Streak,
    availability: Availability,
    wrong_port: WrongPortDetector,
}

impl<'a> Health<'a> {
    pub(in crate::local) fn new(context: &'a InstanceContext, state: &'a InstanceRecord) -> Self {
        Self { context, state, begun: Instant::now() }
    }

    /// Keeps the instance's state up to date. Returns only if it is to be started again.
    pub(in crate::local) async fn watch(&self) -> Cause {
        // Side by side: a liveness probe that hangs must not delay the readiness of the instance, nor the other way round.
        tokio::select! {
            cause = self.readiness() => cause,
            cause = self.liveness() => cause,
        }
    }

    /// Returns only if somebody else has its port.
    async fn readiness(&self) -> Cause {
        let (ready, proven) = self.found();
        let mut history = CheckHistory {
            ready,
            streak: Streak::default(),
            availability: Availability::default(),
            wrong_port: WrongPortDetector::new(self.begun),
        };
        if ready {
            // How long the process before this one has seen it ready, nobody knows.
            history.availability.gained(self.begun);
        }
        if !proven {
            // What it has to pass, only its template says.
            self.context.known_template().await;
        }
        loop {
            let template = self.context.template();
            let by = Readiness::of(template.as_deref(), self.state.identity.routable);
            // Counted from the start of the process, not of this watch: an adopted one has run for a while.
            if !history.ready {
                sleep(by.initial_delay().saturating_sub(since(self.state.started))).await;
            }
            match by.check(self.context, self.state, template.as_deref()).await {
                Ok(address) => {
                    if let Some(cause) = self.passed(&mut history, &by, address).await {
                        return cause;
                    }
                }
                Err(failure) => self.failed(&mut history, &by, &failure).await,
            }
            let stage = history.stage(self.begun);
            if stage == Stage::Available && template.is_some() && matches!(by, Readiness::Runs) {
                // There is nothing that a look could find: its end is noticed by its supervisor.
                std::future::pending::<()>().await;
            }
            let known = template.is_some();
            tokio::select! {
                () = sleep(by.pause(stage)) => {}
                () = self.connection_refused(), if stage == Stage::Available => {}
                _ = self.context.known_template(), if !known => history.streak = Streak::default(),
            }
        }
    }

    /// Waits until a proxy tells that a connection to the instance was refused.
    async fn connection_refused(&self) {
        self.context.table.options.endpoints.connect_refused(self.context.app.uid, &self.context.name).await;
    }

    /// A check has passed. Returns a cause only if it was somebody else who passed it.
    async fn passed(&self, history: &mut CheckHistory, by: &Readiness, address: SocketAddr) -> Option<Cause> {
        let Self { context, .. } = self;
        let timing = &context.table.options.timing;
        history.streak.pass();
        // One to which a connection was refused takes requests again from its next passed check on.
        // It is said on every pass, not only when it becomes ready: it never stopped being that.
        context.table.options.endpoints.passed(context.app.uid, &context.name);
        let gained = !history.ready && history.streak.passes >= by.passes();
        if gained {
            // Somebody else may have bound the port between its choice and the app's start, and would be found ready here.
            if is_taken(self.state).await {
                let reason = format!("port {} is taken by another process", self.port());
                return Some(Cause::Unschedulable { reason });
            }
            history.ready = true;
            history.availability.gained(Instant::now());
        }
        let min_ready = context.min_ready();
        let available = history.ready
            && min_ready.is_some_and(|min_ready| history.availability.elapse(Instant::now(), min_ready));
        // One that comes and goes takes no requests before it has shown that it stays.
        if available || (gained && !history.availability.is_unsteady(timing)) {
            self.report_ready(address, available).await;
        }
        None
    }

    async fn failed(&self, history: &mut CheckHistory, by: &Readiness, failure: &Failure) {
        let timing = &self.context.table.options.timing;
        // One that is too busy to accept still does what it is for.
        if history.ready && !failure.refused && matches!(by, Readiness::Listens) {
            return;
        }
        history.streak.fail();
        let known = history.streak.failures >= by.failures();
        if history.ready {
            // Before it is available, a closed port is taken at its word: old instances are still there to serve.
            if known || (failure.refused && !history.availability.was_available()) {
                history.ready = false;
                history.availability.lost(Instant::now(), timing);
                self.report_unready(self.cause(failure, &[])).await;
            } else {
                return;
            }
        }
        if history.availability.is_failing(Instant::now(), timing) {
            self.report_failing(self.cause(failure, history.wrong_port.found()));
        } else {
            self.not_ready(history, by, failure, known).await;
        }
    }

    async fn liveness(&self) -> Cause {
        let mut streak = Streak::default();
        let template = self.context.known_template().await;
        let Some(probe) = &template.probes.liveness else {
            return std::future::pending().await;
        };
        loop {
            sleep(seconds(probe.initial_delay_seconds).saturating_sub(since(self.state.started))).await;
            match run_probe(self.context, self.port(), probe, &template, "check-alive").await {
                Ok(_) => streak.pass(),
                Err(failure) => {
                    streak.fail();
                    if streak.failures >= probe.failure_threshold.max(1) {
                        let process = self.context.process.clone();
                        return Cause::Probe { process, reason: failure.reason };
                    }
                }
            }
            sleep(seconds(probe.period_seconds.max(1))).await;
        }
    }

    /// Whether it is ready already, as one that was adopted may be, and whether it ever was.
    fn found(&self) -> (bool, bool) {
        self.context
            .read(|entry| (entry.state == InstanceState::Ready, entry.best >= Milestone::Ready))
            .unwrap_or_default()
    }

    /// Looks for the reason and judges it: what listens elsewhere, or takes too long, is failing.
    async fn not_ready(&self, history: &mut CheckHistory, by: &Readiness, failure: &Failure, known: bool) {
        let timing = &self.context.table.options.timing;
        if failure.refused {
            let pause = LOOK_ELSEWHERE.min(timing.not_listening_after / 4);
            history.wrong_port.look(self.state.shim.pid, self.port(), pause).await;
        }
        let found = history.wrong_port.found();
        let waiting_since = history.availability.lost_since().unwrap_or(self.begun);
        let late = waiting_since.elapsed() >= timing.start_budget + by.initial_delay();
        // A port that is not open yet is how every start begins, and no news.
        let news = known && (!failure.refused || !found.is_empty());
        let runs = matches!(by, Readiness::Runs);
        if history.wrong_port.has_lasted(timing.not_listening_after) || (late && !runs) {
            self.report_failing(self.cause(failure, found));
        } else if news && !runs {
            let cause = self.cause(failure, found);
            self.context.change(|entry| entry.trouble = Some(cause));
        }
    }

    fn cause(&self, failure: &Failure, found: &[u16]) -> Cause {
        let process = self.context.process.clone();
        if failure.refused {
            Cause::NotListening { process, port: self.port(), found: found.to_vec(), loopback: false }
        } else {
            Cause::Probe { process, reason: failure.reason.clone() }
        }
    }

    async fn report_ready(&self, address: SocketAddr, available: bool) {
        let InstanceContext { table, app, name, process, .. } = self.context;
        let routable = self.state.identity.routable;
        // Written down before anything is stopped because of it.
        self.note_ready(true).await;
        self.context.change(|entry| {
            // It was let go while its check was under way: it must not come back into rotation.
            if entry.is_leaving() {
                return;
            }
            entry.state = InstanceState::Ready;
            entry.available = available;
            entry.best = entry.best.max(if available { Milestone::Available } else { Milestone::Ready });
            if routable {
                table.options.endpoints.add(app.uid, process, name, &entry.id, address);
            }
        });
    }

    async fn report_unready(&self, cause: Cause) {
        let InstanceContext { table, app, name, .. } = self.context;
        // Out of rotation first: a request that is led to it meanwhile would fail.
        table.options.endpoints.drain(app.uid, name);
        self.report(InstanceState::Unready, cause);
        self.note_ready(false).await;
    }

    /// For a platform process after this one.
    async fn note_ready(&self, ready: bool) {
        let folder = self.context.folder();
        let marked = tokio::task::spawn_blocking(move || record::note_ready(&folder, ready)).await;
        if let Ok(Err(error)) = marked {
            tracing::warn!(instance = %self.context.name, %error, "it cannot be noted that the instance is ready");
        }
    }

    fn report_failing(&self, cause: Cause) {
        self.report(InstanceState::Failing { cause: cause.clone() }, cause);
    }

    fn report(&self, state: InstanceState, cause: Cause) {
        self.context.change(|entry| {
            entry.trouble = Some(cause);
            entry.available = false;
            if !entry.is_leaving() {
                entry.state = state;
            }
        });
    }

    fn port(&self) -> u16 {
        self.state.identity.port
    }
}

impl CheckHistory {
    fn stage(&self, begun: Instant) -> Stage {
        match (self.ready, self.availability.is_available()) {
            (false, _) => Stage::NotReady(begun.elapsed()),
            (true, false) => Stage::Ready,
            (true, true) if self.streak.failures > 0 => Stage::Doubtful,
            (true, true) => Stage::Available,
        }
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
