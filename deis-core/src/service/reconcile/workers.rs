//! Who calls passes: a hint or a tick starts one, one at a time for each app, so many at once on the whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::MissedTickBehavior,
};

use super::{
    Progress,
    reconciler::Reconciler,
    work_permit::{WorkPermit, WorkPermits},
    work_queue::{PassOutcome, WorkQueue},
};
use crate::{
    error::Result,
    model::AppName,
    port::{Scan, StoreExt as _, Wake},
    service::platform::Platform,
    state::keys,
};

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
        let reconciler = Reconciler::new(self);
        let each = |what, work: fn(Reconciler, watch::Receiver<bool>) -> BoxFuture<'static, ()>| {
            tokio::spawn(reconciler.clone().keep_running(what, stopped.clone(), work))
        };
        let tasks = vec![
            tokio::spawn(reconciler.clone().supervise(stopped.clone(), listed, catching_up)),
            tokio::spawn({
                let list = move |reconciler: Reconciler, stopped| {
                    reconciler.list_apps(stopped, lists.clone()).boxed()
                };
                reconciler.clone().keep_running("listing apps", stopped.clone(), list)
            }),
            each("the sweep for orphans", |this, stopped| this.sweep_orphans(stopped).boxed()),
            each("writing outputs", |this, stopped| this.write_outputs(stopped).boxed()),
            each("writing lines of events", |this, stopped| this.write_event_lines(stopped).boxed()),
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

/// Says how the work on an app has ended, whichever way it ends. Without that an app whose pass panics would count as
/// worked on for ever, and nobody would look at it again.
#[derive(Debug)]
struct EndOfWork {
    app: AppName,
    outcome: PassOutcome,
    done: mpsc::UnboundedSender<(AppName, PassOutcome)>,
}

impl Drop for EndOfWork {
    fn drop(&mut self) {
        // Nobody listens once the workers are stopped.
        let _ = self.done.send((self.app.clone(), self.outcome));
    }
}

impl Reconciler {
    /// Sends apps to be looked at, each to one worker at a time.
    async fn supervise(
        self,
        mut stopped: watch::Receiver<bool>,
        mut listed: mpsc::Receiver<BTreeSet<AppName>>,
        catching_up: watch::Sender<bool>,
    ) {
        let wake: Wake = self.parts().wake.clone();
        let (done, mut finished) = mpsc::unbounded_channel::<(AppName, PassOutcome)>();
        let permits = WorkPermits::default();
        let mut queue = WorkQueue::default();
        let mut work = JoinSet::new();
        let mut running: BTreeMap<AppName, Arc<WorkPermit>> = BTreeMap::new();
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
                () = tokio::time::sleep_until(queue.next()) => ready = queue.due(),
                Some((app, outcome)) = finished.recv() => {
                    if let Some(behind) = behind.as_mut().filter(|_| outcome != PassOutcome::Unavailable) {
                        behind.remove(&app);
                    }
                    running.remove(&app);
                    queue.end(app, outcome);
                }
            }
            while let Some(ended) = work.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "a pass panicked and is repeated");
                }
            }
            if behind.as_ref().is_some_and(BTreeSet::is_empty) && !*catching_up.borrow() {
                catching_up.send_replace(true);
            }
            for app in ready {
                if queue.begin(&app) {
                    let permit = Arc::new(WorkPermit::new(&permits));
                    running.insert(app.clone(), Arc::clone(&permit));
                    let end = EndOfWork { app, outcome: PassOutcome::Unavailable, done: done.clone() };
                    let worker = Self { permit: Some(permit), ..self.clone() };
                    work.spawn(worker.work(end));
                } else if let Some(permit) = running.get(&app) {
                    permit.ask();
                }
            }
        }
        work.shutdown().await;
    }

    /// Works on an app once it is its turn.
    async fn work(self, mut end: EndOfWork) {
        if let Some(permit) = &self.permit {
            permit.take().await;
        }
        end.outcome = self.drive(&end.app).await;
    }

    /// Does what goes on for as long as the workers run, and again after a panic in it: a back end of somebody else's
    /// making that panics once must not end the work for all apps.
    async fn keep_running(
        self,
        what: &'static str,
        mut stopped: watch::Receiver<bool>,
        work: impl Fn(Self, watch::Receiver<bool>) -> BoxFuture<'static, ()> + Send + Sync,
    ) {
        loop {
            // What the work shares with others is behind locks that take no notice of a panic.
            let run = AssertUnwindSafe(work(self.clone(), stopped.clone())).catch_unwind();
            if run.await.is_ok() {
                return;
            }
            tracing::error!(what, "a part of the reconciler panicked and begins again");
            tokio::select! {
                () = super::stop_signal(&mut stopped) => return,
                () = tokio::time::sleep(self.parts().options.tick) => {}
            }
        }
    }

    /// Passes until there is nothing to do now. Returns whenever it would have to wait: a permit is for work.
    async fn drive(&self, app: &AppName) -> PassOutcome {
        loop {
            match self.pass(app).await {
                Ok(Progress::Advanced) => {}
                Ok(Progress::Waiting) => return PassOutcome::Waiting,
                Ok(Progress::Idle | Progress::AppGone) => return PassOutcome::Done,
                Ok(Progress::BackendUnavailable) => return PassOutcome::Unavailable,
                Err(error) => {
                    let cause =
                        std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::warn!(%app, %error, cause, "a pass failed and is repeated");
                    return PassOutcome::Unavailable;
                }
            }
        }
    }

    /// Reads at each tick which apps there are.
    async fn list_apps(self, mut stopped: watch::Receiver<bool>, lists: mpsc::Sender<BTreeSet<AppName>>) {
        let mut tick = tokio::time::interval(self.parts().options.tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = async {
            loop {
                tick.tick().await;
                match self.all_apps().await {
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

    async fn all_apps(&self) -> Result<BTreeSet<AppName>> {
        let heads = self.store().scan(&Scan::prefix(keys::HEADS).keys_only()).await?;
        Ok(heads.iter().filter_map(|head| keys::app_of(keys::HEADS, &head.key)).collect())
    }
}
