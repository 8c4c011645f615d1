//! How the back ends of this machine get at the files of an artifact: a function, not a trait.

use std::{path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;

use crate::{
    model::Artifact,
    port::{ArtifactError, Prepared, Preparer},
};

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
/// let unpacker = deis_core::local::unpacked_at("/srv/blog");
/// ```
pub fn unpacked_at(folder: impl Into<PathBuf>) -> Unpacker {
    let path = folder.into();
    Arc::new(move |_| {
        let folder = ArtifactFolder { path: path.clone(), lease: None };
        Box::pin(std::future::ready(Ok(folder)))
    })
}

/// What a platform is given beside the local back ends: an artifact is prepared when it is unpacked, and stays so
/// until its rollout ends.
///
/// ```
/// use deis_core::local::{LocalOptions, preparer, unpacked_at};
///
/// let unpacker = unpacked_at("/srv/blog");
/// let options = LocalOptions::new("/var/lib/blog/run", unpacker.clone());
/// let builder = deis_core::Platform::builder().preparer(preparer(unpacker));
/// ```
pub fn preparer(unpacker: Unpacker) -> Preparer {
    Arc::new(move |_, artifact| {
        let folder = unpacker(artifact);
        Box::pin(async move { Ok(Prepared::holding(folder.await?.lease)) })
    })
}
