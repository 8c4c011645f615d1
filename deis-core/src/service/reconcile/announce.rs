//! The reader of events that writes the platform's lines into the logs of apps.

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};

use crate::{
    model::{App, Event, EventKind, InstanceName, LogLevel, LogLine, LogSource, ReleaseVersion, Task},
    port::{Batch, OutputLine, OutputSender},
    service::platform::Platform,
    state::{events::Cursor, keys, record::get},
};

/// Follows the events from now on and writes each into its app's log.
pub(super) async fn announce(platform: Platform, mut stopped: watch::Receiver<bool>) {
    // An empty batch tells where the log of events ends.
    let Ok(revision) = platform.store().commit(Batch::default()).await else { return };
    let mut events = platform.events(Some(Cursor { revision: revision.0, key: String::new() }));
    loop {
        let next = tokio::select! {
            () = super::stop_signal(&mut stopped) => return,
            next = events.next() => next,
        };
        match next {
            Some(Ok((_, event))) => write(&platform, &event).await,
            Some(Err(error)) => {
                tracing::warn!(%error, "events could not be read; log lines may be missing");
                return;
            }
            None => return,
        }
    }
}

async fn write(platform: &Platform, event: &Event) {
    let Some(name) = &event.app else { return };
    let Ok(Some(app)) = get::<App>(platform.store(), &keys::app(name)).await else { return };
    let (level, text) = text_of(event, &app.value);
    let line =
        |text: &str| LogLine { at: event.at, source: LogSource::Platform { level }, text: text.to_owned() };
    let lines = text.lines().map(line).collect();
    if let Err(error) = platform.0.logs.append(&app.value.reference(), lines).await {
        tracing::warn!(app = %name, %error, "a log line could not be written");
    }
}

/// An event as people read it in the log.
fn text_of(event: &Event, app: &App) -> (LogLevel, String) {
    let App { uid, name: app, .. } = app;
    let by = event.by.as_ref().map_or_else(|| "deis".to_owned(), ToString::to_string);
    let short = |id: &dyn std::fmt::Display| id.to_string().chars().take(7).collect::<String>();
    let failed =
        |what: &str, cause: &crate::model::Cause| format!("{what} failed: {cause}\n{}", cause.hint());
    match &event.kind {
        EventKind::AppCreated => (LogLevel::Info, format!("appsettings {app}-{} updated", short(uid))),
        EventKind::BuildCreated { build } => {
            (LogLevel::Info, format!("build {app}-{} created", short(build)))
        }
        EventKind::ConfigUpdated { config } => {
            (LogLevel::Info, format!("config {app}-{} updated", short(config)))
        }
        EventKind::ReleaseCreated { summary, .. } => (LogLevel::Info, summary.clone()),
        EventKind::RolloutPhase { version, phase } => (LogLevel::Info, format!("{version} {phase}")),
        EventKind::ReleaseLive { version } => (LogLevel::Info, format!("{version} is live")),
        EventKind::ReleaseFailed { version, cause } => (LogLevel::Error, failed(&version.to_string(), cause)),
        EventKind::ReleaseSuperseded { version, by } => {
            (LogLevel::Info, format!("{version} gave way to {by}"))
        }
        EventKind::ScaleFailed { cause } => (LogLevel::Error, failed("scale or restart", cause)),
        EventKind::Scaled { formation } => {
            let pairs: Vec<String> = formation.scales.iter().map(|(p, n)| format!("{p}={n}")).collect();
            (LogLevel::Info, format!("{by} scaled pods {}", pairs.join(" ")))
        }
        EventKind::Restarted { what } => (LogLevel::Info, format!("{by} restarted {what}")),
        EventKind::DomainAdded { domain } => (LogLevel::Info, format!("domain {domain} added")),
        EventKind::DomainRemoved { domain } => (LogLevel::Info, format!("domain {domain} removed")),
        EventKind::DomainRefused { domain, reason } => {
            (LogLevel::Warning, format!("domain {domain} cannot be routed: {reason}"))
        }
        EventKind::Push { text } => (LogLevel::Info, text.clone()),
        EventKind::AppDestroying { .. } | EventKind::UserRegistered => (LogLevel::Info, String::new()),
    }
}

impl Platform {
    /// Where a release command's output goes: into the app's log, written by a task of its own.
    pub(super) fn log_output(&self, task: &Task) -> OutputSender {
        let (sender, mut lines) = mpsc::channel::<OutputLine>(256);
        let (logs, app) = (std::sync::Arc::clone(&self.0.logs), task.app.clone());
        let (clock, process) = (std::sync::Arc::clone(&self.0.clock), task.kind.process());
        let release = task.release.unwrap_or(ReleaseVersion(0));
        let Ok(instance) = InstanceName::new(format!("{}-{}", app.name, task.name)) else { return sender };
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                let source =
                    LogSource::Process { process: process.clone(), release, instance: instance.clone() };
                let _ = logs.append(&app, vec![LogLine { at: clock(), source, text: line.text }]).await;
            }
        });
        sender
    }
}
