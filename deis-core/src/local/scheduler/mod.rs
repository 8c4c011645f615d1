//! The scheduler of this machine.

mod adopt;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use crate::{
    local::{
        instance::{context::InstanceContext, readiness, supervisor::Supervisor},
        options::LocalOptions,
        process::{handle::ShimProcess, orphans, running::Running, validate},
        run_dir::{cleanup, format},
        table::{Table, Unwatched},
        time::since,
        tree::make_private,
    },
    model::{AppRef, Cause, InstanceName, Observation, Workload},
    port::{Scheduler, SchedulerError},
};

/// Runs instances as processes of this machine.
///
/// It keeps no desired state: after a start it has adopted what runs, reports generation 0, and rolls once a
/// workload is applied. Dropping it ends supervision and leaves the instances running.
pub struct LocalScheduler {
    table: Arc<Table>,
    /// Watches over the instances; ends with this scheduler.
    supervision: JoinHandle<()>,
}

/// The process of a running instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalProcess {
    /// The instance.
    pub instance: InstanceName,
    /// The app's own process, which leads its group.
    pub pid: u32,
    /// Where it is to listen.
    pub address: SocketAddr,
}

impl LocalScheduler {
    /// Makes the run folder if it is missing and adopts what an earlier process left in it. Nobody else may use
    /// the folder at the same time: the caller holds a lock on whatever contains it.
    ///
    /// # Errors
    /// The folder cannot be made or read, or what lives in it cannot be watched.
    pub async fn open(options: LocalOptions) -> io::Result<Self> {
        warn_of_long_path(&options);
        let (table, unwatched) = Table::new(options);
        let table = Arc::new(table);
        let run_dir = table.options.run_dir.clone();
        let found = tokio::task::spawn_blocking(move || {
            make_private(&run_dir)?;
            adopt::scan(&run_dir)
        });
        let adopt::FoundInstances { living, ended } = found.await??;
        for (port, at) in ended {
            if let Some(at) = Instant::now().checked_sub(since(at)) {
                table.ports.free(port, at);
            }
        }
        let mut adopted = Vec::new();
        for state in living {
            if let Some(process) = ShimProcess::adopted(state.shim)? {
                adopted.push(Running { process, state });
                continue;
            }
            // Its shim ended this moment; if it was killed, the app was not.
            let folder = table.folder(&state.identity.app, &state.identity.instance);
            tokio::task::spawn_blocking(move || orphans::end_instance(&folder, Some(state.main))).await??;
        }
        // Whoever answers is in rotation before anybody asks: a new platform process is no gap for an app.
        let answers = adopted.iter().map(|running| readiness::answers(&running.state));
        for (address, running) in join_all(answers).await.into_iter().zip(adopted) {
            table.adopt(running, address);
        }
        let supervision = tokio::spawn(supervise(Arc::clone(&table), unwatched));
        Ok(Self { table, supervision })
    }

    /// Stops all instances of all apps, draining first, and returns when nothing runs. Whatever is applied later
    /// runs again; the caller stops applying first.
    pub async fn stop_all(&self) {
        self.table.let_all_go();
        loop {
            let ended = self.table.ended.notified();
            tokio::pin!(ended);
            // Registered before the look, so that an end in between is not missed.
            ended.as_mut().enable();
            if self.table.apps().is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// The processes of an app's running instances.
    pub fn processes(&self, app: &AppRef) -> Vec<LocalProcess> {
        let found = self.table.read(app.uid, |app| {
            let running = app.entries.iter().filter_map(|(name, entry)| {
                let address = (std::net::Ipv4Addr::LOCALHOST, entry.port?).into();
                let pid = u32::try_from(entry.main?.pid).ok()?;
                Some(LocalProcess { instance: name.clone(), pid, address })
            });
            running.collect()
        });
        found.unwrap_or_default()
    }
}

#[async_trait]
impl Scheduler for LocalScheduler {
    async fn apply(&self, workload: &Workload) -> Result<(), SchedulerError> {
        if let Some(reason) = validate::rejection(workload) {
            return Err(SchedulerError::Rejected { cause: Cause::Rejected { reason } });
        }
        let given = workload.generation;
        self.table.accept(workload).map_err(|current| SchedulerError::Stale { given, current })
    }

    async fn observe(&self, app: &AppRef) -> Result<Observation, SchedulerError> {
        let seen = self.table.read(app.uid, |app| Observation {
            generation: app.accepted,
            instances: app.entries.iter().map(|(name, entry)| entry.observe(name)).collect(),
            ..Observation::default()
        });
        let fence = || Observation { generation: self.table.fence(app.uid), ..Observation::default() };
        Ok(seen.unwrap_or_else(fence))
    }

    async fn evict(&self, app: &AppRef, instances: &[InstanceName]) -> Result<(), SchedulerError> {
        self.table.evict(app.uid, instances);
        Ok(())
    }

    async fn remove(&self, app: &AppRef) -> Result<(), SchedulerError> {
        self.table.remove(app);
        self.table.clear(app).await;
        Ok(())
    }

    async fn apps(&self) -> Result<Vec<AppRef>, SchedulerError> {
        Ok(self.table.apps())
    }
}

impl fmt::Debug for LocalScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalScheduler").field("options", &self.table.options).finish_non_exhaustive()
    }
}

impl Drop for LocalScheduler {
    fn drop(&mut self) {
        self.supervision.abort();
    }
}

/// Tells the operator once; each instance's people are told in its log.
fn warn_of_long_path(options: &LocalOptions) {
    let room = format::room_in_instances(&options.run_dir);
    if room < format::USUAL_SOCKET {
        tracing::warn!(
            folder = %options.run_dir.display(),
            "the path of the data folder is so long that apps have only {room} bytes for the names of Unix sockets in \
             their home folder"
        );
    }
}

/// Watches over every instance that the table tells of. Dropping this ends the supervision of all; they go on.
async fn supervise(table: Arc<Table>, mut unwatched: mpsc::UnboundedReceiver<Unwatched>) {
    let mut supervisors = JoinSet::new();
    loop {
        tokio::select! {
            next = unwatched.recv() => {
                let Some(mut instance) = next else { return };
                let running = instance.running.take();
                let context = InstanceContext::new(Arc::clone(&table), &instance);
                supervisors.spawn(Supervisor::new(context, instance.leave).run(running));
            }
            Some(ended) = supervisors.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the supervision of an instance has failed");
                }
            }
        }
    }
}

impl Table {
    /// Removes what ended instances of an app left; those that still run remove theirs when they end.
    async fn clear(&self, app: &AppRef) {
        let folder = format::of_app(&self.options.run_dir, app.uid);
        let alive = self.read(app.uid, |app| app.entries.keys().cloned().collect()).unwrap_or_default();
        let cleared = tokio::task::spawn_blocking(move || cleanup::clear(&folder, &alive));
        if let Ok(Err(error)) = cleared.await {
            tracing::warn!(%app, %error, "the folders of a removed app cannot be removed");
        }
    }
}
