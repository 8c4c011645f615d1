//! The reader of events that writes the platform's lines into the logs of apps.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::{sync::watch, time::Instant};

use crate::{
    error::Result,
    model::{App, Event, EventKind, LogLevel, LogLine, LogSource},
    port::{Batch, Revision, StoreError},
    service::platform::Platform,
    state::{
        events::Cursor,
        keys,
        record::{Edits, get},
    },
};

/// Pause after the store was away.
const PAUSE: Duration = Duration::from_secs(1);
/// How long lines may be written before it is recorded that they are: a killed process may repeat so many.
const KEEP_AFTER: Duration = Duration::from_secs(2);

/// How far the events were written.
struct Place {
    cursor: Cursor,
    /// Revision of the record of it.
    kept: Revision,
    /// Since when the record is behind.
    behind: Option<Instant>,
}

/// Writes each event into its app's log, from where the process before this one ended.
pub(super) async fn announce(platform: Platform, mut stopped: watch::Receiver<bool>) {
    let mut place = None;
    let work = async {
        loop {
            if let Err(error) = follow(&platform, &mut place).await {
                tracing::warn!(%error, "events cannot be read; log lines come late");
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = super::stop_signal(&mut stopped) => {}
        () = work => {}
    }
    if let Some(mut place) = place
        && let Err(error) = place.keep(&platform).await
    {
        tracing::debug!(%error, "the next process will repeat some log lines");
    }
}

async fn follow(platform: &Platform, place: &mut Option<Place>) -> Result<()> {
    let place = match place {
        Some(place) => place,
        none => none.insert(Place::load(platform).await?),
    };
    let mut events = platform.events(Some(place.cursor.clone()));
    loop {
        let next = match place.behind.map(|since| since + KEEP_AFTER) {
            Some(due) if Instant::now() >= due => {
                place.keep(platform).await?;
                continue;
            }
            Some(due) => match tokio::time::timeout_at(due, events.next()).await {
                Ok(next) => next,
                Err(_) => continue,
            },
            None => events.next().await,
        };
        let Some((cursor, event)) = next.transpose()? else { return Ok(()) };
        write(platform, &event).await?;
        place.cursor = cursor;
        place.behind.get_or_insert_with(Instant::now);
    }
}

impl Place {
    async fn load(platform: &Platform) -> Result<Self> {
        if let Some(read) = get::<Cursor>(platform.store(), &keys::announced()).await? {
            return Ok(Self { cursor: read.value, kept: read.revision, behind: None });
        }
        // The first process of all: an empty batch tells where the events end.
        let now = platform.store().commit(Batch::default()).await?;
        let cursor = Cursor { revision: now.0, key: String::new() };
        let mut edits = Edits::new();
        edits.create(keys::announced(), &cursor);
        let kept = edits.commit(platform.store()).await?;
        Ok(Self { cursor, kept, behind: None })
    }

    /// Records how far it is; whoever recorded it meanwhile is believed.
    async fn keep(&mut self, platform: &Platform) -> Result<()> {
        if self.behind.is_none() {
            return Ok(());
        }
        let mut edits = Edits::new();
        edits.replace(keys::announced(), self.kept, &self.cursor);
        match edits.commit(platform.store()).await {
            Ok(revision) => self.kept = revision,
            Err(StoreError::Conflict { .. }) => {
                let read = get::<Cursor>(platform.store(), &keys::announced()).await?;
                self.kept = read.map_or(self.kept, |read| read.revision);
            }
            Err(error) => return Err(error.into()),
        }
        self.behind = None;
        Ok(())
    }
}

async fn write(platform: &Platform, event: &Event) -> Result<()> {
    let Some(name) = &event.app else { return Ok(()) };
    let Some(app) = get::<App>(platform.store(), &keys::app(name)).await? else { return Ok(()) };
    let (level, text) = text_of(event, &app.value);
    let line =
        |text: &str| LogLine { at: event.at, source: LogSource::Platform { level }, text: text.to_owned() };
    let lines: Vec<LogLine> = text.lines().map(line).collect();
    if lines.is_empty() {
        return Ok(());
    }
    // A log that cannot be written must not hold up those of other apps.
    if let Err(error) = platform.0.logs.append(&app.value.reference(), lines).await {
        tracing::warn!(app = %name, %error, "a log line could not be written");
    }
    Ok(())
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
        EventKind::Push { text } => (LogLevel::Info, text.clone()),
        EventKind::AppDestroying { .. } | EventKind::UserRegistered => (LogLevel::Info, String::new()),
    }
}
