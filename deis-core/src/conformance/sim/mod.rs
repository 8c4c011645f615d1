//! Simulated back ends: one world that outlives any number of platform processes, moved on tick by tick.

mod app;
mod harm;
mod lag;
mod router;
mod runner;
mod scheduler;
mod tasks;
mod world;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;

use crate::{
    error::Error,
    model::{AppName, AppRef, LogLine, LogQuery, Timestamp},
    port::{LogError, LogStore, LogStream, always_prepared},
    service::{Platform, Progress},
    store::MemoryStore,
};

pub use lag::LaggingScheduler;
pub use world::World;

/// A platform in memory on the processes of `world`, for tests of what is built on the engine.
///
/// Time stands still and nothing moves by itself: [`drive_until_idle`] brings changes about.
pub fn platform(world: &World) -> Platform {
    let world = Arc::new(world.clone());
    Platform::builder()
        .store(Arc::new(MemoryStore::new()))
        .scheduler(Arc::clone(&world) as _)
        .router(Arc::clone(&world) as _)
        .runner(world)
        .logs(Arc::new(NoLogs))
        .preparer(always_prepared())
        .clock(Arc::new(|| Timestamp(1_000_000)))
        .build()
        .expect("nothing is missing")
}

/// Brings about what is on record of `app`: passes of the platform and ticks of the world, until both rest.
///
/// # Errors
/// What the platform says of a pass that fails.
pub async fn drive_until_idle(platform: &Platform, world: &World, app: &AppName) -> Result<(), Error> {
    loop {
        let progress = platform.pass(app).await?;
        if !world.tick() && matches!(progress, Progress::Idle | Progress::AppGone) {
            return Ok(());
        }
    }
}

/// A log store that keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLogs;

#[async_trait]
impl LogStore for NoLogs {
    async fn append(&self, _: &AppRef, _: Vec<LogLine>) -> Result<(), LogError> {
        Ok(())
    }

    async fn tail(&self, _: &AppRef, _: &LogQuery) -> Result<LogStream, LogError> {
        Ok(futures_util::stream::empty().boxed())
    }

    async fn forget(&self, _: &AppRef) -> Result<(), LogError> {
        Ok(())
    }
}
