//! Notices a process that listens, but not where it should.

use std::time::{Duration, Instant};

use crate::os::proc;

/// Ports that a process listens on while nobody listens on its `$PORT`.
#[derive(Debug)]
pub(in crate::local) struct WrongPortDetector {
    looked: Instant,
    since: Option<Instant>,
    found: Vec<u16>,
}

impl WrongPortDetector {
    pub(in crate::local) fn new(now: Instant) -> Self {
        Self { looked: now, since: None, found: Vec::new() }
    }

    /// Looks again, unless the last look is more recent than `pause`. `shim` is the process that all of the app's
    /// descend from, `port` the one that was given to it.
    pub(in crate::local) async fn look(&mut self, shim: i32, port: u16, pause: Duration) {
        if self.looked.elapsed() < pause {
            return;
        }
        self.looked = Instant::now();
        // Reading /proc goes through every process of the machine, so it is no work for an async thread.
        let found = tokio::task::spawn_blocking(move || proc::listening(&proc::descendants(shim))).await;
        self.found = found.unwrap_or_default();
        self.found.retain(|other| *other != port);
        if self.found.is_empty() {
            self.since = None;
        } else {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// The ports that were found last, ascending.
    pub(in crate::local) fn found(&self) -> &[u16] {
        &self.found
    }

    /// Whether it has listened elsewhere for so long.
    pub(in crate::local) fn has_lasted(&self, limit: Duration) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= limit)
    }
}
