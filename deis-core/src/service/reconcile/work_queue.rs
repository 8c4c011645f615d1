//! Which apps are worked on, and when others are due.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::model::AppName;

/// Pause before an app is looked at again while it waits: what deadlines and probes need, and no more.
const WAIT: Duration = Duration::from_millis(500);
/// First and longest pause after a back end was away.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What the passes over an app came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PassOutcome {
    /// Nothing to do until something changes.
    Done,
    /// It waits for its processes.
    Waiting,
    /// A back end is away.
    Unavailable,
}

/// Which apps are worked on, and when others are due.
#[derive(Debug, Default)]
pub(super) struct WorkQueue {
    running: BTreeSet<AppName>,
    /// Asked for while they were worked on.
    again: BTreeSet<AppName>,
    due: BTreeMap<AppName, Instant>,
    /// Pause after the last passes that found a back end away.
    pauses: BTreeMap<AppName, Duration>,
}

impl WorkQueue {
    /// When the next app is due; in an hour if none is.
    pub(super) fn next(&self) -> Instant {
        self.due.values().min().copied().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    /// The apps that are due now.
    pub(super) fn due(&self) -> BTreeSet<AppName> {
        let now = Instant::now();
        self.due.iter().filter(|(_, at)| **at <= now).map(|(app, _)| app.clone()).collect()
    }

    /// Whether work on an app may begin; otherwise it follows the one that is under way.
    pub(super) fn begin(&mut self, app: &AppName) -> bool {
        self.due.remove(app);
        let free = self.running.insert(app.clone());
        if !free {
            self.again.insert(app.clone());
        }
        free
    }

    /// Work on an app has ended.
    pub(super) fn end(&mut self, app: AppName, outcome: PassOutcome) {
        self.running.remove(&app);
        let asked = self.again.remove(&app);
        let before = self.pauses.remove(&app);
        let pause = match outcome {
            PassOutcome::Unavailable => {
                let pause = before.map_or(BACKOFF.0, |pause| (pause * 2).min(BACKOFF.1));
                self.pauses.insert(app.clone(), pause);
                Some(pause)
            }
            PassOutcome::Waiting | PassOutcome::Done if asked => Some(Duration::ZERO),
            PassOutcome::Waiting => Some(WAIT),
            PassOutcome::Done => None,
        };
        if let Some(pause) = pause {
            self.due.insert(app, Instant::now() + pause);
        }
    }
}

#[cfg(test)]
mod tests;
