//! Slugs in an object store, and unpacked beside it: the one keyed by digest, the other verified by it.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::Bytes;
use deis_core::{
    Artifact, Digest,
    port::{ArtifactError, ArtifactFolder, Unpacker},
};
use futures_util::{FutureExt as _, StreamExt as _};
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart, path::Path as ObjectPath};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Mutex as AsyncMutex,
};

use crate::{
    folders::remove_tree,
    slug::{self, SlugLimits},
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
/// let store = Arc::new(object_store::memory::InMemory::new());
/// let artifacts = Artifacts::new(store, folder.path().join("unpacked"))?;
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
    unpacked: PathBuf,
    /// One unpacking at a time for each slug, and who uses its folder.
    folders: Mutex<HashMap<Digest, Arc<AsyncMutex<Weak<Digest>>>>>,
    /// Slugs that were found damaged: as if they were not there, until they are put again.
    damaged: Mutex<HashSet<Digest>>,
}

/// A slug cannot be stored.
#[derive(Debug, thiserror::Error)]
#[error("the object store is not available")]
pub struct StoreFailed(#[source] Box<dyn std::error::Error + Send + Sync>);

impl StoreFailed {
    fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// Bytes that are read and written at once.
const CHUNK: usize = 1 << 20;

impl Artifacts {
    /// Slugs in `store`, unpacked below `unpacked` (made when needed; what a kill left half done is removed).
    pub fn new(store: Arc<dyn ObjectStore>, unpacked: impl Into<PathBuf>) -> std::io::Result<Self> {
        let unpacked = unpacked.into();
        fs::create_dir_all(&unpacked)?;
        for entry in fs::read_dir(&unpacked)? {
            let path = entry?.path();
            let partial = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(PARTIAL));
            if partial {
                remove_tree(&path)?;
            }
        }
        Ok(Self(Arc::new(Inner { store, unpacked, folders: Mutex::default(), damaged: Mutex::default() })))
    }

    /// The function that a scheduler gets an artifact's folder from.
    pub fn unpacker(&self) -> Unpacker {
        let own = self.clone();
        Arc::new(move |artifact| {
            let own = own.clone();
            async move { own.folder(&artifact).await }.boxed()
        })
    }

    /// Puts the file of a slug under its digest; one that is there already, and was not found damaged, is not sent
    /// again.
    pub async fn put(&self, digest: &Digest, file: &Path) -> Result<(), StoreFailed> {
        let place = slug_path(digest);
        let mut reader = tokio::fs::File::open(file).await.map_err(StoreFailed::new)?;
        let size = reader.metadata().await.map_err(StoreFailed::new)?.len();
        if !self.is_damaged(digest) && self.0.store.head(&place).await.is_ok_and(|known| known.size == size) {
            return Ok(());
        }
        let upload = self.0.store.put_multipart(&place).await.map_err(StoreFailed::new)?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, 8 << 20);
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = reader.read(&mut buffer).await.map_err(StoreFailed::new)?;
            if count == 0 {
                break;
            }
            writer.wait_for_capacity(4).await.map_err(StoreFailed::new)?;
            writer.write(&buffer[..count]);
        }
        writer.finish().await.map(drop).map_err(StoreFailed::new)?;
        self.damaged().remove(digest);
        Ok(())
    }

    /// Whether a slug is there, and not known to be damaged.
    pub async fn has(&self, digest: &Digest) -> bool {
        !self.is_damaged(digest) && self.0.store.head(&slug_path(digest)).await.is_ok()
    }

    fn is_damaged(&self, digest: &Digest) -> bool {
        self.damaged().contains(digest)
    }

    fn damaged(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.0.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a small value under a key.
    pub async fn remember(&self, key: &Digest, value: Bytes) -> Result<(), StoreFailed> {
        self.0.store.put(&key_path(key), value.into()).await.map(drop).map_err(StoreFailed::new)
    }

    /// The value under a key.
    pub async fn recall(&self, key: &Digest) -> Option<Bytes> {
        self.0.store.get(&key_path(key)).await.ok()?.bytes().await.ok()
    }

    /// The folder of an artifact, unpacked and verified.
    async fn folder(&self, artifact: &Artifact) -> Result<ArtifactFolder, ArtifactError> {
        let digest = artifact.digest();
        let entry = {
            let mut folders = self.0.folders.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(folders.entry(digest.clone()).or_default())
        };
        let mut user = entry.lock().await;
        let path = self.0.unpacked.join(digest.hex());
        if !path.exists() {
            self.fetch(digest, &path).await?;
        }
        let lease = user.upgrade().unwrap_or_else(|| Arc::new(digest.clone()));
        *user = Arc::downgrade(&lease);
        Ok(ArtifactFolder { path, lease: Some(lease) })
    }

    /// Fetches, verifies, unpacks, and only then gives the folder its name.
    async fn fetch(&self, digest: &Digest, path: &Path) -> Result<(), ArtifactError> {
        let away = |e: Box<dyn std::error::Error + Send + Sync>| ArtifactError::Unavailable(e);
        let got = match self.0.store.get(&slug_path(digest)).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(ArtifactError::Definitive {
                    reason: format!("slug {digest} is not in the object store"),
                });
            }
            Err(error) => return Err(away(Box::new(error))),
        };
        let scratch = tempfile::Builder::new()
            .prefix(PARTIAL)
            .tempdir_in(&self.0.unpacked)
            .map_err(|e| away(Box::new(e)))?;
        let file = scratch.path().join("slug");
        let mut out = tokio::fs::File::create(&file).await.map_err(|e| away(Box::new(e)))?;
        let mut hasher = Sha256::new();
        let mut chunks = got.into_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| away(Box::new(e)))?;
            hasher.update(&chunk);
            out.write_all(&chunk).await.map_err(|e| away(Box::new(e)))?;
        }
        out.flush().await.map_err(|e| away(Box::new(e)))?;
        if Digest::from_hash(&hasher.finalize()) != *digest {
            self.damaged().insert(digest.clone());
            return Err(ArtifactError::Definitive {
                reason: format!("slug {digest} is damaged in the object store; push the same commit again"),
            });
        }
        let path = path.to_path_buf();
        let unpacked = tokio::task::spawn_blocking(move || {
            let root = scratch.path().join("root");
            fs::create_dir(&root)?;
            slug::unpack(&file, &root, &SlugLimits::default())?;
            fs::rename(&root, &path)
        });
        match unpacked.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(ArtifactError::Definitive { reason: error.to_string() })
            }
            Ok(Err(error)) => Err(away(Box::new(error))),
            Err(error) => Err(away(Box::new(error))),
        }
    }

    /// Removes unpacked folders that nobody uses and that are not in `keep`. Slugs themselves stay.
    pub async fn prune(&self, keep: &[Digest]) -> std::io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.0.unpacked)? {
            let entry = entry?;
            let Ok(digest) = Digest::try_from(entry.file_name().to_string_lossy().into_owned()) else {
                continue;
            };
            let slot = {
                let mut folders = self.0.folders.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(folders.entry(digest.clone()).or_default())
            };
            let user = slot.lock().await;
            if user.strong_count() == 0 && !keep.contains(&digest) {
                let path = entry.path();
                tokio::task::spawn_blocking(move || remove_tree(&path)).await.map_err(std::io::Error::other)??;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

const PARTIAL: &str = ".partial-";


fn slug_path(digest: &Digest) -> ObjectPath {
    ObjectPath::from(format!("slugs/{}.tar.zst", digest.hex()))
}

fn key_path(key: &Digest) -> ObjectPath {
    ObjectPath::from(format!("build-keys/{}.json", key.hex()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slug_comes_back_verified_and_a_damaged_one_never() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("app");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("index.html"), "hello").unwrap();
        let file = folder.path().join("slug");
        let packed = slug::pack(&source, &file, &SlugLimits::default()).unwrap();
        let store = Arc::new(object_store::memory::InMemory::new());
        let artifacts = Artifacts::new(Arc::clone(&store) as _, folder.path().join("unpacked")).unwrap();
        artifacts.put(&packed.digest, &file).await.unwrap();
        let artifact = Artifact::Slug { digest: packed.digest.clone() };
        let unpack = artifacts.unpacker();
        let (one, two) = tokio::join!(unpack(artifact.clone()), unpack(artifact.clone()));
        assert_eq!(fs::read_to_string(one.unwrap().path.join("index.html")).unwrap(), "hello");
        let lease = two.unwrap();
        assert_eq!(artifacts.prune(&[]).await.unwrap(), 0);
        drop(lease);
        assert_eq!(artifacts.prune(&[]).await.unwrap(), 1);

        store.put(&slug_path(&packed.digest), Bytes::from_static(b"garbage").into()).await.unwrap();
        assert!(artifacts.has(&packed.digest).await);
        assert!(matches!(unpack(artifact.clone()).await, Err(ArtifactError::Definitive { .. })));
        // Nobody builds on it any more, and the next build of the same source mends it, whatever its size.
        assert!(!artifacts.has(&packed.digest).await);
        let same_size = Bytes::from(vec![0; usize::try_from(fs::metadata(&file).unwrap().len()).unwrap()]);
        store.put(&slug_path(&packed.digest), same_size.into()).await.unwrap();
        artifacts.put(&packed.digest, &file).await.unwrap();
        drop(unpack(artifact).await.unwrap());
        assert_eq!(artifacts.prune(&[]).await.unwrap(), 1);
        let missing = Artifact::Slug { digest: Digest::of(b"nothing") };
        assert!(matches!(unpack(missing).await, Err(ArtifactError::Definitive { .. })));
        assert_eq!(fs::read_dir(folder.path().join("unpacked")).unwrap().count(), 0);
    }
}
