//! How a platform is put together from its back ends.

use std::sync::Arc;

use super::{Clock, Platform, options::PlatformOptions};
use crate::port::{LogStore, Preparer, Router, Scheduler, Store, TaskRunner, Wake};

/// Takes the back ends, gives a [`Platform`].
#[derive(Default)]
pub struct PlatformBuilder {
    store: Option<Arc<dyn Store>>,
    scheduler: Option<Arc<dyn Scheduler>>,
    router: Option<Arc<dyn Router>>,
    runner: Option<Arc<dyn TaskRunner>>,
    logs: Option<Arc<dyn LogStore>>,
    preparer: Option<Preparer>,
    clock: Option<Clock>,
    wake: Wake,
    options: PlatformOptions,
}

impl Platform {
    /// Begins to put a platform together.
    pub fn builder() -> PlatformBuilder {
        PlatformBuilder::default()
    }
}

/// A back end is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a platform needs a {0}")]
pub struct MissingBackend(&'static str);

impl PlatformBuilder {
    /// Where state lives.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Who runs processes.
    #[must_use]
    pub fn scheduler(mut self, scheduler: Arc<dyn Scheduler>) -> Self {
        self.scheduler = Some(scheduler);
        self
    }

    /// Who routes requests.
    #[must_use]
    pub fn router(mut self, router: Arc<dyn Router>) -> Self {
        self.router = Some(router);
        self
    }

    /// Who runs tasks.
    #[must_use]
    pub fn runner(mut self, runner: Arc<dyn TaskRunner>) -> Self {
        self.runner = Some(runner);
        self
    }

    /// Who keeps logs.
    #[must_use]
    pub fn logs(mut self, logs: Arc<dyn LogStore>) -> Self {
        self.logs = Some(logs);
        self
    }

    /// Who makes sure that the scheduler can get an artifact.
    #[must_use]
    pub fn preparer(mut self, preparer: Preparer) -> Self {
        self.preparer = Some(preparer);
        self
    }

    /// What time it is; the library asks nobody else.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The inbox of hints that the back ends were given.
    #[must_use]
    pub fn wake(mut self, wake: Wake) -> Self {
        self.wake = wake;
        self
    }

    /// Numbers and names.
    #[must_use]
    pub fn options(mut self, options: PlatformOptions) -> Self {
        self.options = options;
        self
    }

    /// Puts it together. Nothing runs before [`Platform::start`].
    ///
    /// # Errors
    /// [`MissingBackend`] names the first back end that is missing.
    pub fn build(self) -> Result<Platform, MissingBackend> {
        Ok(Platform::new(crate::service::platform::Parts {
            store: self.store.ok_or(MissingBackend("store"))?,
            scheduler: self.scheduler.ok_or(MissingBackend("scheduler"))?,
            router: self.router.ok_or(MissingBackend("router"))?,
            runner: self.runner.ok_or(MissingBackend("task runner"))?,
            logs: self.logs.ok_or(MissingBackend("log store"))?,
            preparer: self.preparer.ok_or(MissingBackend("function that prepares artifacts"))?,
            clock: self.clock.ok_or(MissingBackend("clock"))?,
            wake: self.wake,
            options: self.options,
        }))
    }
}

impl std::fmt::Debug for PlatformBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlatformBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}
