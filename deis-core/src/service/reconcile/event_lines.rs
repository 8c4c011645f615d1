//! The reader of events that writes the platform's lines into the logs of apps.
//!
//! How far it is, is recorded now and then. A process that is killed leaves events that the next one writes again; each
//! line has its event's id, by which a log store drops what it has. So no line is lost, and none is there twice.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt as _;
use tokio::{sync::watch, time::Instant};

use super::reconciler::Reconciler;
use crate::{
    error::Result,
    model::{App, AppName, Event, EventKind, LineId, LogLevel, LogLine, LogSource},
    port::{Batch, LogError, Revision, StoreError},
    state::{
        events::EventCursor,
        keys,
        record::{Edits, get},
    },
};

/// Pause after the store or a log was away.
const PAUSE: Duration = Duration::from_secs(1);
/// Most events that are written together.
const TOGETHER: usize = 200;
/// How long lines may be written before it is recorded that they are.
const KEEP_AFTER: Duration = Duration::from_secs(2);
/// How long a log that cannot be written is tried again before its lines are given up.
const RETRY_LIMIT: Duration = Duration::from_secs(60);

/// How far the events were written.
struct EventPosition {
    /// The last event of which all lines are in its app's log, as of all before it.
    written: EventCursor,
    /// Revision of the record of it.
    recorded: Revision,
    /// Since when the record is behind.
    behind: Option<Instant>,
    /// The event after it, if that one could not be written, and since when.
    failing: Option<(EventCursor, Instant)>,
}

impl Reconciler {
    /// Writes each event into its app's log, from where the process before this one ended, until it is told to stop.
    pub(super) async fn write_event_lines(self, mut stopped: watch::Receiver<bool>) {
        let mut position = None;
        let work = async {
            loop {
                if let Err(error) = follow(&self, &mut position).await {
                    tracing::warn!(%error, "events cannot be read; log lines come late");
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = super::stop_signal(&mut stopped) => {}
            () = work => {}
        }
        if let Some(mut position) = position
            && let Err(error) = position.record(&self).await
        {
            tracing::debug!(%error, "the next process will write some log lines again");
        }
    }
}

/// Writes events as they come. Ends when one that could not be written is to be tried again: the next call begins there.
async fn follow(reconciler: &Reconciler, position: &mut Option<EventPosition>) -> Result<()> {
    let position = match position {
        Some(position) => position,
        none => none.insert(EventPosition::load(reconciler).await?),
    };
    // One change makes several events: what is there is written with one append for each app.
    let mut events = reconciler.platform.events(Some(position.written.clone())).ready_chunks(TOGETHER);
    let mut retry = None;
    loop {
        let record = position.behind.map(|since| since + KEEP_AFTER);
        let due = record.into_iter().chain(retry).min();
        let next = match due {
            Some(due) if Instant::now() >= due => {
                if retry == Some(due) {
                    return Ok(());
                }
                position.record(reconciler).await?;
                continue;
            }
            Some(due) => match tokio::time::timeout_at(due, events.next()).await {
                Ok(next) => next,
                Err(_) => continue,
            },
            None => events.next().await,
        };
        let Some(events) = next else { return Ok(()) };
        let events = events.into_iter().collect::<Result<Vec<_>>>()?;
        let Some((last, _)) = events.last() else { continue };
        let last = last.clone();
        for (app, events) in by_app(&events) {
            if let Err((cursor, error)) = write(reconciler, app, &events).await?
                && retry.is_none()
                && position.is_worth_another_try(&cursor, &error)
            {
                // Those of other apps go on meanwhile; what is written again then is dropped by its id.
                retry = Some(Instant::now() + PAUSE);
            }
        }
        if retry.is_none() {
            position.written = last;
            position.behind.get_or_insert_with(Instant::now);
        }
    }
}

impl EventPosition {
    async fn load(reconciler: &Reconciler) -> Result<Self> {
        if let Some(read) = get::<EventCursor>(reconciler.store(), &keys::announced()).await? {
            return Ok(Self { written: read.value, recorded: read.revision, behind: None, failing: None });
        }
        // The first process of all: an empty batch tells where the events end.
        let now = reconciler.store().commit(Batch::default()).await?;
        let written = EventCursor { revision: now.0, key: String::new() };
        let mut edits = Edits::new();
        edits.create(keys::announced(), &written);
        let recorded = edits.commit(reconciler.store()).await?;
        Ok(Self { written, recorded, behind: None, failing: None })
    }

    /// Whether the lines of an event, which could not be written, may still come right.
    fn is_worth_another_try(&mut self, event: &EventCursor, error: &LogError) -> bool {
        let now = Instant::now();
        let since = match &self.failing {
            Some((known, since)) if known == event => *since,
            _ => self.failing.insert((event.clone(), now)).1,
        };
        let again = now.duration_since(since) < RETRY_LIMIT;
        if again {
            tracing::warn!(event = event.key, %error, "a log line cannot be written; it is tried again");
        } else {
            tracing::error!(event = event.key, %error, "a log line is lost");
        }
        again
    }

    /// Records how far it is; whoever recorded it meanwhile is believed.
    async fn record(&mut self, reconciler: &Reconciler) -> Result<()> {
        if self.behind.is_none() {
            return Ok(());
        }
        let mut edits = Edits::new();
        edits.replace(keys::announced(), self.recorded, &self.written);
        match edits.commit(reconciler.store()).await {
            Ok(revision) => self.recorded = revision,
            Err(StoreError::Conflict { .. }) => {
                let read = get::<EventCursor>(reconciler.store(), &keys::announced()).await?;
                self.recorded = read.map_or(self.recorded, |read| read.revision);
            }
            Err(error) => return Err(error.into()),
        }
        self.behind = None;
        Ok(())
    }
}

/// The events of each app, in their order.
fn by_app(events: &[(EventCursor, Event)]) -> BTreeMap<&AppName, Vec<&(EventCursor, Event)>> {
    let mut apps = BTreeMap::<_, Vec<_>>::new();
    for entry in events {
        if let Some(app) = &entry.1.app {
            apps.entry(app).or_default().push(entry);
        }
    }
    apps
}

/// Writes the lines of some events of an app. The outer error is the store's, the inner one the log's, with the first
/// event whose lines are missing.
async fn write(
    reconciler: &Reconciler,
    name: &AppName,
    events: &[&(EventCursor, Event)],
) -> Result<std::result::Result<(), (EventCursor, LogError)>> {
    let Some(app) = get::<App>(reconciler.store(), &keys::app(name)).await? else { return Ok(Ok(())) };
    let mut lines = Vec::new();
    for (cursor, event) in events {
        let (level, text) = text_of(event, &app.value);
        let id = cursor.event();
        let line = |(line, text): (u32, &str)| LogLine {
            id: id.map(|event| LineId { event, line }),
            ..LogLine::new(event.at, LogSource::Platform { level }, text)
        };
        lines.extend((0..).zip(text.lines()).map(line));
    }
    let Some((first, _)) = events.first().filter(|_| !lines.is_empty()) else { return Ok(Ok(())) };
    let written = reconciler.parts().logs.append(&app.value.reference(), lines).await;
    Ok(written.map_err(|error| (first.clone(), error)))
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
        EventKind::WorkloadRefused { reason } => {
            (LogLevel::Error, format!("the processes that were live cannot be started again: {reason}"))
        }
        EventKind::DomainAdded { domain } => (LogLevel::Info, format!("domain {domain} added")),
        EventKind::DomainRemoved { domain } => (LogLevel::Info, format!("domain {domain} removed")),
        EventKind::DomainRefused { domain, reason } => {
            (LogLevel::Warning, format!("domain {domain} cannot be routed: {reason}"))
        }
        EventKind::Push { outcome } => (LogLevel::Info, format!("{by} {outcome}")),
        EventKind::AppDestroying { .. } | EventKind::UserRegistered => (LogLevel::Info, String::new()),
    }
}

#[cfg(test)]
mod tests;
