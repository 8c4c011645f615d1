//! Who runs an app's processes: desired state in, observation out.

use std::fmt;

use async_trait::async_trait;

use super::BoxError;
use crate::model::{AppRef, Cause, Generation, InstanceName, Observation, Workload};

/// Runs workloads.
///
/// # Contract
/// * A workload is reached by rolling: new instances come up before old ones leave, so that never fewer than
///   `min(ready before, scale)` are ready; a new one takes requests as soon as it is ready, and an old one leaves only
///   when a new one is *available*: ready without a break for its group's `min_ready`; an instance that leaves first
///   drains, then gets SIGTERM, after its grace period SIGKILL.
/// * An instance whose template id is in the workload is not touched.
/// * Calls return once accepted, never once running; nothing is lost by dropping a future.
///
/// # Implementing
/// Run `conformance::scheduler` over it. This one only pretends: its instances are ready at once, so that nothing has to
/// be rolled. What it shows is the fence, and that an instance is told by its template:
///
/// ```
/// use std::{collections::BTreeMap, sync::{Mutex, MutexGuard, PoisonError}};
/// use deis_core::{
///     Timestamp,
///     model::{AppRef, AppUid, Generation, Instance, InstanceName, InstanceState, Observation, Workload},
///     port::{Scheduler, SchedulerError},
/// };
///
/// #[derive(Debug, Default)]
/// struct Pretended(Mutex<BTreeMap<AppUid, (AppRef, Observation)>>);
///
/// impl Pretended {
///     fn lock(&self) -> MutexGuard<'_, BTreeMap<AppUid, (AppRef, Observation)>> {
///         self.0.lock().unwrap_or_else(PoisonError::into_inner)
///     }
/// }
///
/// fn instances(workload: &Workload) -> Vec<Instance> {
///     let groups = workload.groups.iter();
///     let each = groups.flat_map(|(process, group)| (0..group.scale).map(move |n| (process, group, n)));
///     let instances = each.filter_map(|(process, group, n)| {
///         // The same template and number: the same instance as before.
///         let name = format!("{process}-{}-{n}", group.id).to_ascii_lowercase();
///         Some(Instance {
///             name: InstanceName::new(name).ok()?,
///             process: process.clone(),
///             template: group.id.clone(),
///             release: group.template.release,
///             state: InstanceState::Ready,
///             available: true,
///             started: Timestamp(0),
///             trouble: None,
///         })
///     });
///     instances.collect()
/// }
///
/// #[async_trait::async_trait]
/// impl Scheduler for Pretended {
///     async fn apply(&self, workload: &Workload) -> Result<(), SchedulerError> {
///         let mut apps = self.lock();
///         let known = apps.entry(workload.app.uid);
///         let (_, seen) = known.or_insert_with(|| (workload.app.clone(), Observation::default()));
///         let (given, current) = (workload.generation, seen.generation);
///         if given < current {
///             return Err(SchedulerError::Stale { given, current });
///         }
///         (seen.generation, seen.instances) = (given, instances(workload));
///         Ok(())
///     }
///
///     async fn observe(&self, app: &AppRef) -> Result<Observation, SchedulerError> {
///         Ok(self.lock().get(&app.uid).map(|(_, seen)| seen.clone()).unwrap_or_default())
///     }
///
///     async fn evict(&self, _: &AppRef, _: &[InstanceName]) -> Result<(), SchedulerError> {
///         Ok(()) // One that is pretended is as good as its replacement.
///     }
///
///     async fn remove(&self, app: &AppRef) -> Result<(), SchedulerError> {
///         // The fence stays: a late `apply` must not bring a destroyed app back.
///         let gone = Observation { generation: Generation::MAX, ..Observation::default() };
///         self.lock().insert(app.uid, (app.clone(), gone));
///         Ok(())
///     }
///
///     async fn apps(&self) -> Result<Vec<AppRef>, SchedulerError> {
///         let apps = self.lock();
///         let running = apps.values().filter(|(_, seen)| !seen.instances.is_empty());
///         Ok(running.map(|(app, _)| app.clone()).collect())
///     }
/// }
/// ```
#[async_trait]
pub trait Scheduler: fmt::Debug + Send + Sync + 'static {
    /// Makes `workload` the app's desired state. The same generation again has no effect.
    ///
    /// # Errors
    /// [`SchedulerError::Stale`] for an older generation than was accepted before, and for any after `remove` of this
    /// uid; [`SchedulerError::Rejected`] for what can never run here; [`SchedulerError::Unavailable`].
    async fn apply(&self, workload: &Workload) -> Result<(), SchedulerError>;

    /// What runs now, and the generation accepted last (zero if it knows nothing of the app). It is asked often, and
    /// answers from memory.
    ///
    /// # Errors
    /// [`SchedulerError::Unavailable`], also as long as it does not know what runs: an empty answer would mean that
    /// nothing does.
    async fn observe(&self, app: &AppRef) -> Result<Observation, SchedulerError>;

    /// Replaces these instances: the replacement is available before each leaves. Unknown names are ignored.
    ///
    /// # Errors
    /// [`SchedulerError::Unavailable`].
    async fn evict(&self, app: &AppRef, instances: &[InstanceName]) -> Result<(), SchedulerError>;

    /// Stops everything of this life of the app and refuses it from then on. Unknown app: `Ok`. Returns once
    /// accepted; `observe` shows when nothing is left.
    ///
    /// # Errors
    /// [`SchedulerError::Unavailable`].
    async fn remove(&self, app: &AppRef) -> Result<(), SchedulerError>;

    /// The apps that have instances here, to find orphans. A list alone deletes nothing.
    ///
    /// # Errors
    /// [`SchedulerError::Unavailable`].
    async fn apps(&self) -> Result<Vec<AppRef>, SchedulerError>;
}

/// Why a scheduler call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// Somebody with a newer view was here before.
    #[error("generation {given} is older than {current}, which was accepted before")]
    Stale {
        /// What was given.
        given: Generation,
        /// What was accepted before.
        current: Generation,
    },
    /// It will never run this workload.
    #[error("the workload was refused: {cause}")]
    Rejected {
        /// Why: what a release that asks for it fails with.
        cause: Cause,
    },
    /// It cannot be reached; whether the call took effect is unknown.
    #[error("the scheduler is not available")]
    Unavailable(#[source] BoxError),
}
