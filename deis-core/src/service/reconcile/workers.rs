//! Who calls passes: a hint or a tick starts one, one at a time for each app, so many at once on the whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior},
};

use super::Progress;
use crate::{
    error::Result,
    model::AppName,
    port::{Scan, StoreExt as _, Wake},
    service::platform::Platform,
    state::keys,
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
        let (lists, listed) = mpsc::channel(1);
        let tasks = vec![
            tokio::spawn(supervise(self.clone(), stopped.clone(), listed, catching_up)),
            tokio::spawn(list(self.clone(), stopped.clone(), lists)),
            tokio::spawn(super::orphans::sweep(self.clone(), stopped.clone())),
            tokio::spawn(super::output::write_outputs(self.clone(), stopped.clone())),
            tokio::spawn(super::event_lines::write_event_lines(self.clone(), stopped)),
        ];
        Workers { stop, caught_up, tasks }
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

/// What a visit to an app came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visit {
    /// Nothing to do until something changes.
    Over,
    /// It waits for its processes.
    Waits,
    /// A back end is away.
    Away,
}

/// Which apps are worked on, and when others are due.
#[derive(Debug, Default)]
struct Diary {
    running: BTreeSet<AppName>,
    /// Asked for while they were worked on.
    again: BTreeSet<AppName>,
    due: BTreeMap<AppName, Instant>,
    /// Pause after the last visit that found a back end away.
    pauses: BTreeMap<AppName, Duration>,
}

impl Diary {
    fn next(&self) -> Instant {
        self.due.values().min().copied().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    fn due(&self) -> BTreeSet<AppName> {
        let now = Instant::now();
        self.due.iter().filter(|(_, at)| **at <= now).map(|(app, _)| app.clone()).collect()
    }

    /// Whether a visit may begin; otherwise it follows the one that is under way.
    fn begin(&mut self, app: &AppName) -> bool {
        self.due.remove(app);
        let free = self.running.insert(app.clone());
        if !free {
            self.again.insert(app.clone());
        }
        free
    }

    fn end(&mut self, app: AppName, visit: Visit) {
        self.running.remove(&app);
        let asked = self.again.remove(&app);
        let before = self.pauses.remove(&app);
        let pause = match visit {
            Visit::Away => {
                let pause = before.map_or(BACKOFF.0, |pause| (pause * 2).min(BACKOFF.1));
                self.pauses.insert(app.clone(), pause);
                Some(pause)
            }
            Visit::Waits | Visit::Over if asked => Some(Duration::ZERO),
            Visit::Waits => Some(WAIT),
            Visit::Over => None,
        };
        if let Some(pause) = pause {
            self.due.insert(app, Instant::now() + pause);
        }
    }
}

/// Sends apps to be looked at, each to one visit at a time.
async fn supervise(
    platform: Platform,
    mut stopped: watch::Receiver<bool>,
    mut listed: mpsc::Receiver<BTreeSet<AppName>>,
    catching_up: watch::Sender<bool>,
) {
    let wake: Wake = platform.0.wake.clone();
    let (done, mut finished) = mpsc::unbounded_channel::<(AppName, Visit)>();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut diary = Diary::default();
    let mut work = JoinSet::new();
    // Apps that were there at the start and were not looked at yet.
    let mut behind: Option<BTreeSet<AppName>> = None;
    loop {
        let mut ready: BTreeSet<AppName> = BTreeSet::new();
        tokio::select! {
            () = super::stop_signal(&mut stopped) => break,
            apps = wake.next() => ready = apps,
            Some(apps) = listed.recv() => {
                if behind.is_none() {
                    behind = Some(apps.clone());
                }
                ready = apps;
            }
            () = tokio::time::sleep_until(diary.next()) => ready = diary.due(),
            Some((app, visit)) = finished.recv() => {
                if let Some(behind) = behind.as_mut().filter(|_| visit != Visit::Away) {
                    behind.remove(&app);
                }
                diary.end(app, visit);
            }
        }
        while work.try_join_next().is_some() {}
        if behind.as_ref().is_some_and(BTreeSet::is_empty) && !*catching_up.borrow() {
            catching_up.send_replace(true);
        }
        for app in ready {
            if diary.begin(&app) {
                let (platform, done, slots) = (platform.clone(), done.clone(), Arc::clone(&slots));
                work.spawn(async move {
                    let _slot = slots.acquire_owned().await;
                    let visit = drive(&platform, &app).await;
                    let _ = done.send((app, visit));
                });
            }
        }
    }
    work.shutdown().await;
}

/// Passes until there is nothing to do now. Returns whenever it would have to wait: a slot is for work.
async fn drive(platform: &Platform, app: &AppName) -> Visit {
    loop {
        match platform.pass(app).await {
            Ok(Progress::Stepped) => {}
            Ok(Progress::Waiting) => return Visit::Waits,
            Ok(Progress::Resting | Progress::Gone) => return Visit::Over,
            Ok(Progress::Blind) => return Visit::Away,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%app, %error, cause, "a pass failed and is repeated");
                return Visit::Away;
            }
        }
    }
}

/// Reads at each tick which apps there are.
async fn list(
    platform: Platform,
    mut stopped: watch::Receiver<bool>,
    lists: mpsc::Sender<BTreeSet<AppName>>,
) {
    let mut tick = tokio::time::interval(platform.0.options.tick);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let work = async {
        loop {
            tick.tick().await;
            match all_apps(&platform).await {
                Ok(apps) => {
                    if lists.send(apps).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the list of apps could not be read; the next tick tries again");
                }
            }
        }
    };
    tokio::select! {
        () = super::stop_signal(&mut stopped) => {}
        () = work => {}
    }
}

async fn all_apps(platform: &Platform) -> Result<BTreeSet<AppName>> {
    let heads = platform.store().scan(&Scan::prefix(keys::HEADS).keys_only()).await?;
    Ok(heads.iter().filter_map(|head| keys::app_of(keys::HEADS, &head.key)).collect())
}

#[cfg(test)]
mod tests;
