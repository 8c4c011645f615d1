//! Who calls passes: a hint or a tick starts one, one at a time for each app, so many at once on the whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use super::Progress;
use crate::{
    model::{AppName, Head},
    port::{Scan, Wake},
    service::platform::Platform,
    state::record,
};

/// Apps that are worked on at the same time.
const AT_ONCE: usize = 16;
/// Pause before an app is looked at again while it waits: what deadlines and probes need, and no more.
const WAIT: Duration = Duration::from_millis(500);
/// First and longest pause after a back end was away.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The running reconciler. Dropping it stops it too, at the next point where it waits.
#[derive(Debug)]
pub struct Workers {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Platform {
    /// Starts the reconciler on the present tokio runtime. Apps keep running when it stops.
    pub fn start(&self) -> Workers {
        let (stop, stopped) = watch::channel(false);
        let reconciler = tokio::spawn(supervise(self.clone(), stopped.clone()));
        let announcer = tokio::spawn(super::announce::announce(self.clone(), stopped));
        Workers { stop, tasks: vec![reconciler, announcer] }
    }
}

impl Workers {
    /// Stops, and returns once no pass is under way.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        for task in std::mem::take(&mut self.tasks) {
            let _ = task.await;
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

/// Keeps the list of apps to look at, and when.
async fn supervise(platform: Platform, mut stopped: watch::Receiver<bool>) {
    let wake: Wake = platform.0.wake.clone();
    let (done, mut finished) = mpsc::unbounded_channel();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut running: BTreeSet<AppName> = BTreeSet::new();
    let mut again: BTreeSet<AppName> = BTreeSet::new();
    let mut due: BTreeMap<AppName, Instant> = BTreeMap::new();
    let mut work = JoinSet::new();
    let mut tick = tokio::time::interval(platform.0.options.tick);
    let mut first = true;
    loop {
        let next = due.values().min().copied().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        let mut ready: BTreeSet<AppName> = BTreeSet::new();
        tokio::select! {
            () = super::stop_signal(&mut stopped) => break,
            apps = wake.next() => ready.extend(apps),
            _ = tick.tick() => {
                ready.extend(all_apps(&platform).await);
                if std::mem::take(&mut first)
                    && let Err(error) = platform.remove_orphans().await {
                        tracing::warn!(%error, "orphans could not be looked for; the next tick tries again");
                        first = true;
                    }
            }
            () = tokio::time::sleep_until(next) => {
                let now = Instant::now();
                ready.extend(due.iter().filter(|(_, at)| **at <= now).map(|(app, _)| app.clone()));
            }
            Some((app, pause)) = finished.recv() => {
                let (app, pause): (AppName, Option<Duration>) = (app, pause);
                running.remove(&app);
                if again.remove(&app) {
                    ready.insert(app);
                } else if let Some(pause) = pause {
                    due.insert(app, Instant::now() + pause);
                }
            }
        }
        while work.try_join_next().is_some() {}
        for app in ready {
            due.remove(&app);
            if !running.insert(app.clone()) {
                again.insert(app);
                continue;
            }
            let (platform, done, slots) = (platform.clone(), done.clone(), Arc::clone(&slots));
            work.spawn(async move {
                let _slot = slots.acquire_owned().await;
                let pause = drive(&platform, &app).await;
                let _ = done.send((app, pause));
            });
        }
    }
    work.shutdown().await;
}

/// Passes until there is nothing to do now; returns how long to leave the app alone.
async fn drive(platform: &Platform, app: &AppName) -> Option<Duration> {
    let mut backoff = BACKOFF.0;
    loop {
        match platform.pass(app).await {
            Ok(Progress::Stepped) => backoff = BACKOFF.0,
            Ok(Progress::Waiting) => return Some(WAIT),
            Ok(Progress::Resting | Progress::Gone) => return None,
            Ok(Progress::Blind) => {
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%app, %error, cause, "a pass failed and is repeated");
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
}

async fn all_apps(platform: &Platform) -> Vec<AppName> {
    match record::scan::<Head>(platform.store(), &Scan::prefix("head/")).await {
        Ok(heads) => heads
            .into_iter()
            .filter_map(|(key, _)| AppName::new(key.as_str().strip_prefix("head/")?).ok())
            .collect(),
        Err(error) => {
            tracing::warn!(%error, "the list of apps could not be read; the next tick tries again");
            Vec::new()
        }
    }
}
