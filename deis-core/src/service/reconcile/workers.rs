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
    port::{Key, Scan, Wake},
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
    caught_up: watch::Receiver<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Platform {
    /// Starts the reconciler on the present tokio runtime. Apps keep running when it stops.
    pub fn start(&self) -> Workers {
        let (stop, stopped) = watch::channel(false);
        let (catching_up, caught_up) = watch::channel(false);
        let reconciler = tokio::spawn(supervise(self.clone(), stopped.clone(), catching_up));
        let announcer = tokio::spawn(super::announce::announce(self.clone(), stopped));
        Workers { stop, caught_up, tasks: vec![reconciler, announcer] }
    }
}

impl Workers {
    /// Waits until each app that there was at the start has what is on record, or waits for its processes: routes that
    /// are kept in memory are complete then. Can take as long as a back end is away.
    pub fn caught_up(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut caught_up = self.caught_up.clone();
        async move {
            let _ = caught_up.wait_for(|done| *done).await.is_ok();
        }
    }

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
async fn supervise(platform: Platform, mut stopped: watch::Receiver<bool>, catching_up: watch::Sender<bool>) {
    let wake: Wake = platform.0.wake.clone();
    let (done, mut finished) = mpsc::unbounded_channel();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut running: BTreeSet<AppName> = BTreeSet::new();
    let mut again: BTreeSet<AppName> = BTreeSet::new();
    let mut due: BTreeMap<AppName, Instant> = BTreeMap::new();
    let mut work = JoinSet::new();
    let mut tick = tokio::time::interval(platform.0.options.tick);
    let mut first = true;
    // Apps that were there at the start and were not looked at yet.
    let mut behind: Option<BTreeSet<AppName>> = None;
    loop {
        let next = due.values().min().copied().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        let mut ready: BTreeSet<AppName> = BTreeSet::new();
        tokio::select! {
            () = super::stop_signal(&mut stopped) => break,
            apps = wake.next() => ready.extend(apps),
            _ = tick.tick() => {
                let apps = all_apps(&platform).await;
                if behind.is_none() {
                    behind.clone_from(&apps);
                }
                ready.extend(apps.unwrap_or_default());
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
                if let Some(behind) = &mut behind {
                    behind.remove(&app);
                }
                if again.remove(&app) {
                    ready.insert(app);
                } else if let Some(pause) = pause {
                    due.insert(app, Instant::now() + pause);
                }
            }
        }
        while work.try_join_next().is_some() {}
        if behind.as_ref().is_some_and(BTreeSet::is_empty) && !*catching_up.borrow() {
            catching_up.send_replace(true);
        }
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

async fn all_apps(platform: &Platform) -> Option<BTreeSet<AppName>> {
    match record::scan::<Head>(platform.store(), &Scan::prefix("head/")).await {
        Ok(heads) => {
            let name = |key: &Key| AppName::new(key.as_str().strip_prefix("head/")?).ok();
            Some(heads.iter().filter_map(|(key, _)| name(key)).collect())
        }
        Err(error) => {
            tracing::warn!(%error, "the list of apps could not be read; the next tick tries again");
            None
        }
    }
}
