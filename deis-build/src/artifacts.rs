//! Slugs in an object store, keyed by digest.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use deis_core::{Digest, port::ArtifactError};
use futures_util::StreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart, path::Path as ObjectPath};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Mutex as AsyncMutex,
};

/// Slugs of a platform. Clones share one.
///
/// ```
/// use std::sync::Arc;
/// use deis_build::Artifacts;
/// use deis_core::Digest;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let artifacts = Artifacts::new(Arc::new(object_store::memory::InMemory::new()));
///
/// let file = folder.path().join("slug.tar.zst");
/// std::fs::write(&file, b"a packed app")?;
/// let digest = Digest::of(b"a packed app");
/// artifacts.put(&digest, &file).await?;
/// assert!(artifacts.has(&digest).await);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Artifacts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn ObjectStore>,
    /// Slugs that were found damaged: as if they were not there, until they are put again.
    damaged: Mutex<HashSet<Digest>>,
    /// Held by whoever adds a user of a slug, or looks whether one is left before it is removed.
    users: AsyncMutex<()>,
}

/// A slug cannot be stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFailed {
    /// The object store cannot be reached, or the disk is full.
    #[error("the object store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The bytes are not those of the digest.
    #[error("the slug is not what the build said it is: {found} instead of {wanted}")]
    Mismatch {
        /// What the build said.
        wanted: Digest,
        /// What there is.
        found: Digest,
    },
}

pub(crate) fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreFailed {
    StoreFailed::Unavailable(error.into())
}

/// Bytes that are read and written at once.
const CHUNK: usize = 1 << 20;

impl Artifacts {
    /// Slugs in `store`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self(Arc::new(Inner { store, damaged: Mutex::default(), users: AsyncMutex::default() }))
    }

    /// Puts the file of a slug under its digest; one that is there already, and was not found damaged, is not sent
    /// again.
    ///
    /// # Errors
    /// [`StoreFailed::Mismatch`] leaves nothing under the digest.
    pub async fn put(&self, digest: &Digest, file: &Path) -> Result<(), StoreFailed> {
        let place = slug_path(digest);
        let mut reader = tokio::fs::File::open(file).await.map_err(unavailable)?;
        let size = reader.metadata().await.map_err(unavailable)?.len();
        if !self.is_damaged(digest) && self.0.store.head(&place).await.is_ok_and(|known| known.size == size) {
            return Ok(());
        }
        let upload = self.0.store.put_multipart(&place).await.map_err(unavailable)?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, 8 << 20);
        let mut buffer = vec![0; CHUNK];
        let mut hasher = Sha256::new();
        loop {
            let count = reader.read(&mut buffer).await.map_err(unavailable)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            writer.wait_for_capacity(4).await.map_err(unavailable)?;
            writer.write(&buffer[..count]);
        }
        let found = Digest::from_hash(&hasher.finalize());
        if found != *digest {
            writer.abort().await.map_err(unavailable)?;
            return Err(StoreFailed::Mismatch { wanted: digest.clone(), found });
        }
        writer.finish().await.map(drop).map_err(unavailable)?;
        self.damaged().remove(digest);
        Ok(())
    }

    /// Whether a slug is there, and not known to be damaged.
    pub async fn has(&self, digest: &Digest) -> bool {
        !self.is_damaged(digest) && self.0.store.head(&slug_path(digest)).await.is_ok()
    }

    /// Writes a slug into `file`, verified.
    ///
    /// # Errors
    /// [`ArtifactError::Definitive`] if it is not there or damaged; from then on it counts as not there.
    pub async fn download(&self, digest: &Digest, file: &Path) -> Result<(), ArtifactError> {
        let got = match self.0.store.get(&slug_path(digest)).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(ArtifactError::Definitive {
                    reason: format!("slug {digest} is not in the object store"),
                });
            }
            Err(error) => return Err(away(error)),
        };
        let mut out = tokio::fs::File::create(file).await.map_err(away)?;
        let mut hasher = Sha256::new();
        let mut chunks = got.into_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(away)?;
            hasher.update(&chunk);
            out.write_all(&chunk).await.map_err(away)?;
        }
        out.flush().await.map_err(away)?;
        if Digest::from_hash(&hasher.finalize()) == *digest {
            return Ok(());
        }
        self.damaged().insert(digest.clone());
        Err(ArtifactError::Definitive {
            reason: format!("slug {digest} is damaged in the object store; push the same commit again"),
        })
    }

    pub(crate) fn store(&self) -> &dyn ObjectStore {
        &*self.0.store
    }

    pub(crate) fn users(&self) -> &AsyncMutex<()> {
        &self.0.users
    }

    fn is_damaged(&self, digest: &Digest) -> bool {
        self.damaged().contains(digest)
    }

    fn damaged(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.0.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a small value under a key.
    ///
    /// # Errors
    /// The object store cannot be reached.
    pub async fn record_key(&self, key: &Digest, value: Bytes) -> Result<(), StoreFailed> {
        self.0.store.put(&key_path(key), value.into()).await.map(drop).map_err(unavailable)
    }

    /// The value under a key.
    pub async fn find_key(&self, key: &Digest) -> Option<Bytes> {
        self.0.store.get(&key_path(key)).await.ok()?.bytes().await.ok()
    }
}

pub(crate) fn away(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ArtifactError {
    ArtifactError::Unavailable(error.into())
}

pub(crate) fn slug_path(digest: &Digest) -> ObjectPath {
    ObjectPath::from(format!("slugs/{}.tar.zst", digest.hex()))
}

fn key_path(key: &Digest) -> ObjectPath {
    ObjectPath::from(format!("build-keys/{}.json", key.hex()))
}
