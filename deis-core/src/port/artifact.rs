//! How a scheduler of this machine gets at the files of an artifact: a function, not a trait.

use std::{path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;

use super::BoxError;
use crate::model::Artifact;

/// An unpacked artifact; the folder is read-only by convention and stays while this value lives.
#[derive(Clone, Debug)]
pub struct ArtifactFolder {
    /// Root of the app's files.
    pub path: PathBuf,
    /// Keeps the folder from being pruned.
    pub lease: Option<Arc<dyn std::any::Any + Send + Sync>>,
}

/// Gives the folder of an artifact, unpacking and verifying it when it is not there yet.
///
/// Idempotent, and safe to call at once for the same artifact. `deis-build` brings one over an object store;
/// an embedder who has files already returns their folder.
pub type Unpacker =
    Arc<dyn Fn(Artifact) -> BoxFuture<'static, Result<ArtifactFolder, ArtifactError>> + Send + Sync>;

/// An unpacker for somebody who has the files already: every artifact is this one folder.
///
/// ```
/// let unpacker = deis_core::port::unpacked_at("/srv/blog");
/// ```
pub fn unpacked_at(folder: impl Into<PathBuf>) -> Unpacker {
    let path = folder.into();
    Arc::new(move |_| {
        let folder = ArtifactFolder { path: path.clone(), lease: None };
        Box::pin(std::future::ready(Ok(folder)))
    })
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
