//! Simulated back ends: one world that outlives any number of platform processes, moved on tick by tick.

mod router;
mod runner;
mod scheduler;
mod world;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _};

use crate::{
    model::{AppRef, LogLine, LogQuery},
    port::{ArtifactFolder, LogError, LogStore, LogStream, Unpacker},
};

pub use world::World;

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

/// A function that finds every artifact at the root of the file system.
pub fn unpacker() -> Unpacker {
    Arc::new(|_| async { Ok(ArtifactFolder { path: "/".into(), lease: None }) }.boxed())
}
