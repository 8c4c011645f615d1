//! The supervisor of one instance: start, check, start again, drain, stop.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::{sync::watch, time::timeout};

use super::{
    copy::remove_tree,
    endings::Endings,
    folder,
    health::Health,
    launch::{self, NotStarted},
    process::{MARGIN, Process},
    shim::{Identity, State, Who, now, since},
    slot::Slot,
    table::Table,
};
use crate::model::{
    AppRef, Cause, Exit, Generation, InstanceName, InstanceState, LogLevel, LogLine, LogSource, ProcessType,
    Template, TemplateId,
};

/// An instance whose shim lives.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) process: Process,
    pub(super) state: State,
}

/// Watches over one instance until nothing of it runs.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) table: Arc<Table>,
    pub(super) app: AppRef,
    pub(super) name: InstanceName,
    pub(super) process: ProcessType,
    id: TemplateId,
    leave: watch::Receiver<bool>,
    template: watch::Receiver<Option<Arc<Template>>>,
    endings: Endings,
}

/// How a stretch of running ended.
enum Stretch {
    Left,
    Ended,
    /// It failed its liveness check, or cannot have its port.
    Unhealthy(Cause),
}

impl Supervisor {
    pub(super) fn new(table: Arc<Table>, app: AppRef, name: InstanceName, slot: &Slot) -> Self {
        let (process, id) = (slot.process.clone(), slot.id.clone());
        let (leave, template) = (slot.leave.subscribe(), slot.template.subscribe());
        Self { table, app, name, process, id, leave, template, endings: Endings::default() }
    }

    /// Runs the instance, again and again, until it is let go.
    pub(super) async fn run(mut self, mut adopted: Option<Running>) {
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
                    let stretch = self.stretch(&running).await;
                    if let Stretch::Unhealthy(cause) = &stretch {
                        self.report_unhealthy(cause);
                    }
                    if !matches!(stretch, Stretch::Ended) {
                        self.stop(&running).await;
                    }
                    let cause = self.clean_up(&running).await;
                    ran = Some(since(running.state.started));
                    match stretch {
                        Stretch::Left => break,
                        Stretch::Ended => (cause, false),
                        Stretch::Unhealthy(cause) => (cause, false),
                    }
                }
                Err(NotStarted { cause, definitive }) => (cause, definitive),
            };
            let timing = &self.table.options.timing;
            let wait = self.endings.add(Instant::now(), begun.elapsed(), timing);
            // Want of an artifact or of room can pass, however often it is met.
            let broken = matches!(cause, Cause::CrashLoop { .. } | Cause::Probe { .. });
            let definitive = definitive || (broken && self.endings.are_a_loop(timing));
            self.report_end(&cause, definitive);
            self.tell(&cause, ran, wait).await;
            if timeout(wait, left(&mut self.leave)).await.is_ok() {
                break;
            }
        }
        self.remove_folder().await;
        self.table.forget(&self.app, &self.name);
    }

    /// The template, if it is known.
    pub(super) fn template(&self) -> Option<Arc<Template>> {
        self.template.borrow().clone()
    }

    /// The template, as soon as it is known.
    pub(super) async fn known_template(&self) -> Arc<Template> {
        let mut template = self.template.clone();
        let known = template.wait_for(Option::is_some).await.ok().and_then(|known| known.clone());
        match known {
            Some(template) => template,
            // Nobody can name it any more.
            None => std::future::pending().await,
        }
    }

    /// Starts the process. `None` if there is nothing to start, or it was let go meanwhile.
    async fn start(&mut self) -> Result<Option<Running>, NotStarted> {
        let Some(template) = self.template() else { return Ok(None) };
        let options = self.table.options.clone();
        let source = tokio::select! {
            () = left(&mut self.leave) => return Ok(None),
            source = launch::unpack(&options, &template.launch.artifact) => source?,
        };
        let Some(port) = self.table.ports.take(Instant::now()) else {
            let reason = "every port for instances is in use".to_owned();
            return Err(NotStarted { cause: Cause::Unschedulable { reason }, definitive: true });
        };
        let identity = self.identity(&template, port);
        let notices = self.notices(&template);
        let turn = self.table.starting.acquire().await;
        let started = launch::start(&options, &template, source, identity, notices).await;
        drop(turn);
        let running = started.and_then(|started| {
            let Some((child, state)) = started else { return Ok(None) };
            Ok(Some(Running { process: Process::started(child)?, state }))
        });
        match running {
            Ok(Some(running)) => {
                let state = &running.state;
                let (main, started) = (state.main, state.started);
                self.table.change(&self.app, &self.name, |slot| {
                    (slot.main, slot.port, slot.started) = (Some(main), Some(port), started);
                });
                Ok(Some(running))
            }
            other => {
                self.table.ports.free(port, Instant::now());
                let reason = match other {
                    Err(error) => launch::reason(error.as_ref()),
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
    async fn stretch(&mut self, running: &Running) -> Stretch {
        let mut leave = self.leave.clone();
        let health = Health::new(self, running);
        tokio::select! {
            biased;
            () = running.process.ended() => Stretch::Ended,
            () = left(&mut leave) => Stretch::Left,
            cause = health.watch() => Stretch::Unhealthy(cause),
        }
    }

    /// Drains, asks, and at last forces it to end.
    async fn stop(&self, running: &Running) {
        let options = &self.table.options;
        options.endpoints.drain(self.app.uid, &self.name);
        tokio::select! {
            () = running.process.ended() => return,
            _ = timeout(options.timing.drain_limit, options.endpoints.idle(self.app.uid, &self.name)) => {}
        }
        running.process.signal(Signal::TERM);
        let grace = Duration::from_secs(u64::from(running.state.identity.grace_seconds));
        if timeout(grace + MARGIN, running.process.ended()).await.is_err() {
            running.process.signal(Signal::KILL);
            running.process.ended().await;
        }
    }

    /// Puts away what an ended process leaves, and says how it ended.
    async fn clean_up(&self, running: &Running) -> Cause {
        let identity = &running.state.identity;
        self.table.options.endpoints.remove(self.app.uid, &identity.process, &self.name);
        let exit = self.end(Some(running.state.main)).await;
        let cause = self.cause(exit).await;
        self.table.ports.free(identity.port, Instant::now());
        self.tidy().await;
        cause
    }

    /// How the process ended, with nothing of it left.
    async fn end(&self, main: Option<Who>) -> Exit {
        let folder = self.folder();
        let ended = tokio::task::spawn_blocking(move || folder::end(&folder, main)).await;
        match ended {
            Ok(Ok(exit)) => exit,
            Ok(Err(error)) => {
                tracing::warn!(instance = %self.name, %error, "the end of an instance cannot be written down");
                Exit::Lost
            }
            Err(_) => Exit::Lost,
        }
    }

    async fn tidy(&self) {
        let apps = folder::of_app(&self.table.options.run_dir, self.app.uid);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || folder::tidy(&apps)).await {
            tracing::warn!(app = %self.app, %error, "the folder of an ended instance cannot be tidied");
        }
    }

    /// Removes all traces if the app was removed, before it is seen to be gone.
    async fn remove_folder(&self) {
        let removed = self.table.read(self.app.uid, |app| app.accepted == Generation::MAX);
        if removed != Some(true) {
            return;
        }
        let folder = self.folder();
        let gone = tokio::task::spawn_blocking(move || {
            remove_tree(&folder)?;
            // Goes with the app's last instance.
            let _ = folder.parent().map(std::fs::remove_dir);
            Ok::<(), std::io::Error>(())
        });
        if let Ok(Err(error)) = gone.await {
            tracing::warn!(app = %self.app, %error, "the folder of a removed instance cannot be removed");
        }
    }

    /// One that is about to be stopped for its own good takes no more requests.
    fn report_unhealthy(&self, cause: &Cause) {
        self.table.options.endpoints.drain(self.app.uid, &self.name);
        self.table.change(&self.app, &self.name, |slot| {
            slot.trouble = Some(cause.clone());
            if slot.state == InstanceState::Ready {
                slot.state = InstanceState::Unready;
            }
        });
    }

    /// Tells the app's people of the end of an instance that was ready once: no release fails because of it.
    async fn tell(&self, cause: &Cause, ran: Option<Duration>, wait: Duration) {
        let proven = self.table.read(self.app.uid, |app| app.slots.get(&self.name).is_some_and(|s| s.proven));
        let (Some(logs), Some(ran), Some(true)) = (&self.table.options.logs, ran, proven) else { return };
        let what = match cause {
            Cause::CrashLoop { exit, .. } => format!("ended with {exit}"),
            Cause::Probe { reason, .. } => {
                format!("was stopped, because its health check failed ({reason}),")
            }
            other => format!("was stopped ({other})"),
        };
        let suffix = self.name.as_str().rsplit('-').next().unwrap_or_default();
        let (ran, wait) = (ran.as_secs(), wait.as_secs_f32().round());
        let text = format!("{}.{suffix} {what} after {ran} s; next start in {wait} s", self.process);
        let source = LogSource::Platform { level: LogLevel::Warning };
        if let Err(error) = logs.append(&self.app, vec![LogLine::new(now(), source, text)]).await {
            tracing::warn!(app = %self.app, %error, "the end of an instance cannot be logged");
        }
    }

    fn report_end(&self, cause: &Cause, definitive: bool) {
        self.table.change(&self.app, &self.name, |slot| {
            (slot.main, slot.port) = (None, None);
            slot.trouble = Some(cause.clone());
            if slot.is_leaving() {
                return;
            }
            slot.state = if definitive {
                InstanceState::Failing { cause: cause.clone() }
            } else if slot.proven {
                InstanceState::Unready
            } else {
                InstanceState::Starting
            };
        });
    }

    async fn cause(&self, exit: Exit) -> Cause {
        let started = self.table.read(self.app.uid, |app| app.slots.get(&self.name).map(|slot| slot.started));
        let (folder, since) = (self.folder(), started.flatten().unwrap_or_default());
        let read = tokio::task::spawn_blocking(move || folder::last_lines(&folder, since));
        Cause::CrashLoop { process: self.process.clone(), exit, last_lines: read.await.unwrap_or_default() }
    }

    fn identity(&self, template: &Template, port: u16) -> Identity {
        Identity {
            app: self.app.clone(),
            instance: self.name.clone(),
            process: self.process.clone(),
            release: template.release,
            template: self.id.clone(),
            routable: template.routable,
            port,
            grace_seconds: template.grace_seconds,
        }
    }

    fn notices(&self, template: &Template) -> Vec<String> {
        let own = template.env.get("PORT").filter(|_| self.table.warns_of_port(self.app.uid, &self.id));
        own.map(|value| {
            format!("PORT={value} of the config has no effect: each instance gets a port of its own in $PORT")
        })
        .into_iter()
        .collect()
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.table.folder(&self.app, &self.name)
    }
}

async fn left(leave: &mut watch::Receiver<bool>) {
    if leave.wait_for(|left| *left).await.is_err() {
        // Nobody can let it go any more.
        std::future::pending::<()>().await;
    }
}
