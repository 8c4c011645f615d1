//! The supervisor of one instance: start, check, start again, drain, stop.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::{sync::watch, time::timeout};

use crate::{
    local::{
        instance::context::InstanceContext,
        instance::health::Health,
        instance::restart_backoff::RestartBackoff,
        process::running::Running,
        process::{
            handle::ShimProcess,
            launch::{self, NotStarted},
            orphans::{self, MARGIN},
        },
        run_dir::{
            cleanup, format, line_log,
            record::{InstanceIdentity, ProcessIdentity},
        },
        table::entry::Milestone,
        time::{now, since},
        tree::remove_tree,
    },
    model::{Cause, Exit, Generation, InstanceState, LogLevel, LogLine, LogSource, Template},
    port::error_chain,
};

/// Watches over one instance until nothing of it runs.
#[derive(Debug)]
pub(in crate::local) struct Supervisor {
    context: InstanceContext,
    leave: watch::Receiver<bool>,
    backoff: RestartBackoff,
}

/// How one run of the process ended.
enum RunOutcome {
    Left,
    Ended,
    /// It failed its liveness check, or cannot have its port.
    Unhealthy(Cause),
}

impl Supervisor {
    pub(in crate::local) fn new(context: InstanceContext, leave: watch::Receiver<bool>) -> Self {
        Self { context, leave, backoff: RestartBackoff::default() }
    }

    /// Runs the instance, again and again, until it is let go.
    pub(in crate::local) async fn run(mut self, mut adopted: Option<Running>) {
        loop {
            let running = match adopted.take() {
                Some(running) => Ok(Some(running)),
                None => self.start().await,
            };
            let begun = Instant::now();
            let mut ran = None;
            let (cause, definitive) = match running {
                Ok(None) => break,
                Ok(Some(running)) => {
                    let outcome = self.run_once(&running).await;
                    if let RunOutcome::Unhealthy(cause) = &outcome {
                        self.report_unhealthy(cause);
                    }
                    if !matches!(outcome, RunOutcome::Ended) {
                        self.stop(&running).await;
                    }
                    let cause = self.clean_up(&running).await;
                    ran = Some(since(running.state.started));
                    match outcome {
                        RunOutcome::Left => break,
                        RunOutcome::Ended => (cause, false),
                        RunOutcome::Unhealthy(cause) => (cause, false),
                    }
                }
                Err(NotStarted { cause, definitive }) => (cause, definitive),
            };
            let timing = &self.context.table.options.timing;
            let wait = self.backoff.add(Instant::now(), begun.elapsed(), timing);
            // Want of an artifact or of room can pass, however often it is met.
            let broken = matches!(cause, Cause::CrashLoop { .. } | Cause::Probe { .. });
            let definitive = definitive || (broken && self.backoff.is_crash_loop(timing));
            // The state is set before the log line is written: whoever reads the line and lists the instances sees that state.
            self.report_end(&cause, definitive);
            self.tell(&cause, ran, wait).await;
            // An instance that is let go while it waits has nothing to stop.
            if timeout(wait, left(&mut self.leave)).await.is_ok() {
                break;
            }
        }
        // In this order: once it is forgotten, the app is seen to be gone, and its name may be given away.
        self.remove_folder().await;
        self.context.table.forget(&self.context.app, &self.context.name);
    }

    /// Starts the process. `None` if there is nothing to start, or it was let go meanwhile.
    async fn start(&mut self) -> Result<Option<Running>, NotStarted> {
        let Some(template) = self.context.template() else { return Ok(None) };
        let options = self.context.table.options.clone();
        let source = tokio::select! {
            () = left(&mut self.leave) => return Ok(None),
            source = launch::unpack(&options, &template.launch.artifact) => source?,
        };
        let Some(port) = self.context.table.ports.take(Instant::now()) else {
            let reason = "every port for instances is in use".to_owned();
            return Err(NotStarted { cause: Cause::Unschedulable { reason }, definitive: true });
        };
        let identity = self.identity(&template, port);
        let notices = self.notices(&template);
        // The port is taken before the turn is waited for: where there is none, nobody else is kept waiting.
        let turn = self.context.table.starting.acquire().await;
        let started = launch::start(&options, &template, source, identity, notices).await;
        drop(turn);
        let running = started.and_then(|started| {
            let Some((child, state)) = started else { return Ok(None) };
            Ok(Some(Running { process: ShimProcess::started(child)?, state }))
        });
        match running {
            Ok(Some(running)) => {
                let state = &running.state;
                let (main, started) = (state.main, state.started);
                self.context.change(|entry| {
                    (entry.main, entry.port, entry.started) = (Some(main), Some(port), started);
                });
                Ok(Some(running))
            }
            other => {
                self.context.table.ports.free(port, Instant::now());
                let reason = match other {
                    Err(error) => error_chain(error.as_ref()),
                    Ok(_) => "the supervising process ended before the app started".to_owned(),
                };
                // Its folder is tidied like any other.
                let cause = match self.end(None).await {
                    Exit::Lost => Cause::Unschedulable { reason },
                    exit => self.cause(exit).await,
                };
                self.tidy().await;
                Err(NotStarted { cause, definitive: false })
            }
        }
    }

    /// Runs until it ends, is let go, or is found dead.
    async fn run_once(&mut self, running: &Running) -> RunOutcome {
        let mut leave = self.leave.clone();
        let health = Health::new(&self.context, &running.state);
        tokio::select! {
            // The end comes first: a process that has ended is neither let go nor unhealthy.
            biased;
            () = running.process.ended() => RunOutcome::Ended,
            () = left(&mut leave) => RunOutcome::Left,
            cause = health.watch() => RunOutcome::Unhealthy(cause),
        }
    }

    /// Drains, asks, and at last forces it to end.
    async fn stop(&self, running: &Running) {
        let options = &self.context.table.options;
        // Never SIGTERM first: an ordinary server drops the requests that it is working on.
        options.endpoints.drain(self.context.app.uid, &self.context.name);
        tokio::select! {
            () = running.process.ended() => return,
            _ = timeout(options.timing.drain_limit, options.endpoints.idle(self.context.app.uid, &self.context.name)) => {}
        }
        running.process.signal(Signal::TERM);
        let grace = Duration::from_secs(u64::from(running.state.identity.grace_seconds));
        // The supervising process kills what is left after the grace period. Only if it hangs itself it is killed, which
        // leaves the app's processes behind: those are ended by their mark.
        if timeout(grace + MARGIN, running.process.ended()).await.is_err() {
            running.process.signal(Signal::KILL);
            running.process.ended().await;
        }
    }

    /// Puts away what an ended process leaves, and says how it ended.
    async fn clean_up(&self, running: &Running) -> Cause {
        let identity = &running.state.identity;
        // Before anything that takes time: a port that nobody listens on any more must get no request.
        self.context.table.options.endpoints.remove(
            self.context.app.uid,
            &identity.process,
            &self.context.name,
        );
        let exit = self.end(Some(running.state.main)).await;
        // The lines are read before the folder is tidied, which may remove them.
        let cause = self.cause(exit).await;
        // The port rests from here on: a client's late packet must not meet another app.
        self.context.table.ports.free(identity.port, Instant::now());
        self.tidy().await;
        cause
    }

    /// How the process ended, with nothing of it left.
    async fn end(&self, main: Option<ProcessIdentity>) -> Exit {
        let folder = self.context.folder();
        let ended = tokio::task::spawn_blocking(move || orphans::end_instance(&folder, main)).await;
        match ended {
            Ok(Ok(exit)) => exit,
            Ok(Err(error)) => {
                tracing::warn!(instance = %self.context.name, %error, "the end of an instance cannot be written down");
                Exit::Lost
            }
            Err(_) => Exit::Lost,
        }
    }

    async fn tidy(&self) {
        let apps = format::of_app(&self.context.table.options.run_dir, self.context.app.uid);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || cleanup::tidy(&apps)).await {
            tracing::warn!(app = %self.context.app, %error, "the folder of an ended instance cannot be tidied");
        }
    }

    /// Removes all traces if the app was removed, before it is seen to be gone.
    async fn remove_folder(&self) {
        let removed = self.context.table.read(self.context.app.uid, |app| app.accepted == Generation::MAX);
        if removed != Some(true) {
            return;
        }
        let folder = self.context.folder();
        let gone = tokio::task::spawn_blocking(move || {
            remove_tree(&folder)?;
            // Goes with the app's last instance.
            let _ = folder.parent().map(std::fs::remove_dir);
            Ok::<(), std::io::Error>(())
        });
        if let Ok(Err(error)) = gone.await {
            tracing::warn!(app = %self.context.app, %error, "the folder of a removed instance cannot be removed");
        }
    }

    /// One that is about to be stopped for its own good takes no more requests.
    fn report_unhealthy(&self, cause: &Cause) {
        self.context.table.options.endpoints.drain(self.context.app.uid, &self.context.name);
        self.context.change(|entry| {
            entry.trouble = Some(cause.clone());
            entry.available = false;
            if entry.state == InstanceState::Ready {
                entry.state = InstanceState::Unready;
            }
        });
    }

    /// Tells the app's people of the end of an instance that was ready once: no release fails because of it.
    async fn tell(&self, cause: &Cause, ran: Option<Duration>, wait: Duration) {
        let proven = self.context.read(|entry| entry.best >= Milestone::Ready);
        let (Some(logs), Some(ran), Some(true)) = (&self.context.table.options.logs, ran, proven) else {
            return;
        };
        let what = match cause {
            Cause::CrashLoop { exit, .. } => format!("ended with {exit}"),
            Cause::Probe { reason, .. } => {
                format!("was stopped, because its health check failed ({reason}),")
            }
            other => format!("was stopped ({other})"),
        };
        let suffix = self.context.name.as_str().rsplit('-').next().unwrap_or_default();
        let (ran, wait) = (ran.as_secs(), wait.as_secs_f32().round());
        let text = format!("{}.{suffix} {what} after {ran} s; next start in {wait} s", self.context.process);
        let source = LogSource::Platform { level: LogLevel::Warning };
        if let Err(error) = logs.append(&self.context.app, vec![LogLine::new(now(), source, text)]).await {
            tracing::warn!(app = %self.context.app, %error, "the end of an instance cannot be logged");
        }
    }

    fn report_end(&self, cause: &Cause, definitive: bool) {
        self.context.change(|entry| {
            (entry.main, entry.port, entry.available) = (None, None, false);
            entry.trouble = Some(cause.clone());
            if entry.is_leaving() {
                return;
            }
            entry.state = if definitive {
                InstanceState::Failing { cause: cause.clone() }
            } else if entry.best >= Milestone::Ready {
                InstanceState::Unready
            } else {
                InstanceState::Starting
            };
        });
    }

    async fn cause(&self, exit: Exit) -> Cause {
        let started = self.context.read(|entry| entry.started);
        let (folder, since) = (self.context.folder(), started.unwrap_or_default());
        let read = tokio::task::spawn_blocking(move || line_log::last_lines(&folder, since));
        Cause::CrashLoop {
            process: self.context.process.clone(),
            exit,
            last_lines: read.await.unwrap_or_default(),
        }
    }

    fn identity(&self, template: &Template, port: u16) -> InstanceIdentity {
        InstanceIdentity {
            app: self.context.app.clone(),
            instance: self.context.name.clone(),
            process: self.context.process.clone(),
            release: template.release,
            template: self.context.id.clone(),
            routable: template.routable,
            port,
            grace_seconds: template.grace_seconds,
        }
    }

    /// What the app's people should know of this start, as lines of its log.
    fn notices(&self, template: &Template) -> Vec<String> {
        let (table, uid) = (&self.context.table, self.context.app.uid);
        let port = template.env.get("PORT").map(|value| {
            format!("PORT={value} of the config has no effect: each instance gets a port of its own in $PORT")
        });
        let room = format::room_for_socket(&format::files(&self.context.folder()));
        let socket = (room < format::USUAL_SOCKET).then(|| {
            format!("a Unix socket in $HOME may have a name of at most {room} bytes: the path of the data folder is long")
        });
        let notices: Vec<String> = port.into_iter().chain(socket).collect();
        // Once for all instances of a template.
        if notices.is_empty() || !table.warns_of(uid, &self.context.id) { Vec::new() } else { notices }
    }
}

async fn left(leave: &mut watch::Receiver<bool>) {
    if leave.wait_for(|left| *left).await.is_err() {
        // Nobody can let it go any more.
        std::future::pending::<()>().await;
    }
}
