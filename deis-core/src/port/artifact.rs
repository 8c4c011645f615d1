//! Whether the scheduler can get an artifact: a function, not a trait.

use std::{any::Any, fmt, sync::Arc};

use futures_util::future::BoxFuture;

use super::BoxError;
use crate::model::{AppRef, Artifact};

/// Makes sure that the scheduler can get an artifact of an app, verified, and says so.
///
/// Where processes run on this machine it unpacks (`deis-build` brings such a function over an object store, and
/// [`local::preparer`](crate::local::preparer) makes one of any function that gives a folder); elsewhere it looks, and
/// copies nothing.
///
/// # Contract
/// Idempotent, and safe to call at once for the same artifact. It is given 600 s
/// ([`PREPARE_LIMIT`](crate::plan::constants::PREPARE_LIMIT)) and may be dropped at any point: what it had begun must
/// not be taken for finished then. It is called anew after each start of the platform.
///
/// ```
/// use std::sync::Arc;
/// use deis_core::port::{ArtifactError, Prepared, Preparer};
///
/// // Every host has the images of this registry already, if their digest is known to it.
/// let known = [deis_core::Digest::of(b"an image")];
/// let preparer: Preparer = Arc::new(move |_app, artifact| {
///     let found = known.contains(artifact.digest());
///     Box::pin(async move {
///         let reason = || "the registry has no such image".to_owned();
///         if found { Ok(Prepared::default()) } else { Err(ArtifactError::Definitive { reason: reason() }) }
///     })
/// });
/// ```
pub type Preparer =
    Arc<dyn Fn(AppRef, Artifact) -> BoxFuture<'static, Result<Prepared, ArtifactError>> + Send + Sync>;

/// A lease of an artifact that is ready: it is not collected while this value lives, which is until the rollout ends.
#[derive(Clone, Default)]
pub struct Prepared(#[allow(dead_code, reason = "it is held, not read")] Option<Arc<dyn Any + Send + Sync>>);

impl Prepared {
    /// Holds `lease` for as long as the artifact must stay. `Prepared::default()` is for artifacts that stay anyway.
    pub fn holding(lease: impl Any + Send + Sync) -> Self {
        Self(Some(Arc::new(lease)))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}

/// A preparer for platforms whose scheduler has every artifact at hand.
pub fn always_prepared() -> Preparer {
    Arc::new(|_, _| Box::pin(std::future::ready(Ok(Prepared::default()))))
}

/// Why an artifact cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// It does not exist, or what exists is not what its digest says. Trying again does not help.
    #[error("artifact cannot be used: {reason}")]
    Definitive {
        /// Why, for people.
        reason: String,
    },
    /// Its store cannot be reached, or the disk is full. Trying again may help.
    #[error("artifacts are not available")]
    Unavailable(#[source] BoxError),
}
