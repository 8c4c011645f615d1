//! Ends a build that uses up more than it may.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use super::{job::BuildLimits, orphans};
use crate::folders::usage;

/// Looks at a build's folders while its scripts run. Dropping it ends the watching.
pub(super) struct Watch {
    found: Arc<Mutex<Option<String>>>,
    printed: AtomicU64,
    max_printed: u64,
    _stop: mpsc::Sender<()>,
}

/// The folders are looked at again after so many times what looking took, which is a small part of the whole …
const PAUSE: u32 = 20;
/// … but neither in haste, nor so late that a disk is full.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);

impl Watch {
    /// Watches `folders` together. What is passed meanwhile ends every child of this process, again and again, so that
    /// a step that starts others does not go on either.
    pub(super) fn start(folders: Vec<PathBuf>, limits: BuildLimits) -> Self {
        let (stop, stopped) = mpsc::channel();
        let max_printed = limits.output_bytes;
        let watch = Self { found: Arc::default(), printed: AtomicU64::new(0), max_printed, _stop: stop };
        let found = Arc::clone(&watch.found);
        thread::spawn(move || {
            let mut pause = SHORTEST;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(pause) {
                let began = Instant::now();
                if let Some(reason) = excess(&folders, &limits) {
                    found.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
                    orphans::kill_children();
                }
                pause = (began.elapsed() * PAUSE).clamp(SHORTEST, LONGEST);
            }
        });
        watch
    }

    /// Looks at once.
    pub(super) fn look(&self, folders: &[PathBuf], limits: &BuildLimits) {
        if let Some(reason) = excess(folders, limits) {
            self.found.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        }
    }

    /// Why the build was ended, if it was.
    pub(super) fn reason(&self) -> Option<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts what a script printed; `false` once it is too much, which ends the build.
    pub(super) fn may_print(&self, bytes: usize) -> bool {
        let before = self.printed.fetch_add(bytes as u64, Ordering::Relaxed);
        let fits = before + bytes as u64 <= self.max_printed;
        if !fits && before <= self.max_printed {
            let most = self.max_printed >> 20;
            let reason = format!("the build printed more than {most} MiB and was stopped");
            self.found.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
            orphans::kill_children();
        }
        fits
    }
}

/// What of the limits is passed.
fn excess(folders: &[PathBuf], limits: &BuildLimits) -> Option<String> {
    let (mut bytes, mut entries) = (0, 0);
    for used in folders.iter().map(|folder| usage(folder)) {
        bytes += used.bytes;
        entries += used.entries;
    }
    if bytes > limits.folder_bytes {
        return Some(format!(
            "the build used more than {} MiB of disk and was stopped",
            limits.folder_bytes >> 20
        ));
    }
    let most = limits.folder_entries;
    (entries > most).then(|| format!("the build made more than {most} files and folders and was stopped"))
}
