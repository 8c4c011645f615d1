//! Slugs unpacked on this machine: where instances and tasks get their files.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use deis_core::{
    Digest,
    local::{ArtifactFolder, Unpacker, preparer},
    model::Artifact,
    port::{ArtifactError, Preparer},
};
use futures_util::FutureExt as _;
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    artifacts::{Artifacts, away},
    folders::remove_tree,
    slug::{self, SlugLimits},
};

/// Folders of unpacked slugs, made when they are asked for. Clones share one.
#[derive(Clone, Debug)]
pub struct SlugFolders(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    artifacts: Artifacts,
    folder: PathBuf,
    /// One unpacking at a time for each slug, and who uses its folder.
    users: Mutex<HashMap<Digest, Arc<AsyncMutex<Weak<Digest>>>>>,
}

/// How the names of folders begin that are not ready yet.
const PARTIAL: &str = ".partial-";

impl SlugFolders {
    /// Slugs of `artifacts`, unpacked below `folder`, which is made when needed.
    ///
    /// # Errors
    /// The folder cannot be used, or what a kill left half done in it cannot be removed.
    pub fn open(artifacts: Artifacts, folder: impl Into<PathBuf>) -> std::io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(PARTIAL)) {
                remove_tree(&path)?;
            }
        }
        Ok(Self(Arc::new(Inner { artifacts, folder, users: Mutex::default() })))
    }

    /// The function that the scheduler and the task runner of this machine get an artifact's folder from.
    pub fn unpacker(&self) -> Unpacker {
        let own = self.clone();
        Arc::new(move |artifact| {
            let own = own.clone();
            async move { own.folder(&artifact).await }.boxed()
        })
    }

    /// The function that a platform of this machine asks before it rolls out: the artifact is unpacked then.
    pub fn preparer(&self) -> Preparer {
        preparer(self.unpacker())
    }

    /// The folder of an artifact, unpacked and verified.
    async fn folder(&self, artifact: &Artifact) -> Result<ArtifactFolder, ArtifactError> {
        let Artifact::Slug { digest } = artifact else {
            let reason = "the processes of this machine are made from slugs, not from images".to_owned();
            return Err(ArtifactError::Definitive { reason });
        };
        let entry = self.users_of(digest);
        let mut users = entry.lock().await;
        let path = self.0.folder.join(digest.hex());
        if !path.exists() {
            self.unpack(digest, &path).await?;
        }
        let lease = users.upgrade().unwrap_or_else(|| Arc::new(digest.clone()));
        *users = Arc::downgrade(&lease);
        Ok(ArtifactFolder { path, lease: Some(lease) })
    }

    fn users_of(&self, digest: &Digest) -> Arc<AsyncMutex<Weak<Digest>>> {
        let mut users = self.0.users.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(users.entry(digest.clone()).or_default())
    }

    /// Downloads, unpacks, and only then gives the folder its name.
    async fn unpack(&self, digest: &Digest, path: &Path) -> Result<(), ArtifactError> {
        let parent = self.0.folder.clone();
        let scratch = move || tempfile::Builder::new().prefix(PARTIAL).tempdir_in(parent);
        let scratch = tokio::task::spawn_blocking(scratch).await.map_err(away)?.map_err(away)?;
        let file = scratch.path().join("slug");
        self.0.artifacts.download(digest, &file).await?;
        let path = path.to_path_buf();
        let unpacked = tokio::task::spawn_blocking(move || {
            let root = scratch.path().join("root");
            fs::create_dir(&root)?;
            let unpacked =
                slug::unpack(&file, &root, &SlugLimits::default()).and_then(|()| fs::rename(&root, &path));
            // What is left of it is removed here: when the scratch folder is dropped, it fails at folders without write
            // permission, which a slug may hold, and they would stay.
            remove_tree(&root).and(unpacked)
        });
        match unpacked.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(ArtifactError::Definitive { reason: error.to_string() })
            }
            Ok(Err(error)) => Err(away(error)),
            Err(error) => Err(away(error)),
        }
    }

    /// Removes folders that nobody uses and that are not in `keep`. Slugs themselves stay. Returns how many went.
    ///
    /// # Errors
    /// What the file system says of a folder that stays.
    pub async fn prune(&self, keep: &[Digest]) -> std::io::Result<usize> {
        let folder = self.0.folder.clone();
        let list = move || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect();
        let paths: std::io::Result<Vec<PathBuf>> =
            tokio::task::spawn_blocking(list).await.map_err(std::io::Error::other)?;
        let mut removed = 0;
        for path in paths? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Ok(digest) = Digest::try_from(name) else { continue };
            let entry = self.users_of(&digest);
            let users = entry.lock().await;
            if users.strong_count() == 0 && !keep.contains(&digest) {
                let gone = path.clone();
                tokio::task::spawn_blocking(move || remove_tree(&gone))
                    .await
                    .map_err(std::io::Error::other)??;
                removed += 1;
            }
        }
        self.forget_unused();
        Ok(removed)
    }

    /// Forgets slugs that nobody uses, or is about to: whoever holds an entry beside the table has asked for its folder.
    fn forget_unused(&self) {
        let mut users = self.0.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|_, entry| {
            let is_free = Arc::strong_count(entry) == 1;
            !(is_free && entry.try_lock().is_ok_and(|users| users.strong_count() == 0))
        });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use object_store::{ObjectStoreExt as _, path::Path as ObjectPath};

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
        let artifacts = Artifacts::new(Arc::clone(&store) as _);
        let folders = SlugFolders::open(artifacts.clone(), folder.path().join("unpacked")).unwrap();
        let another = Digest::of(b"another");
        let said = artifacts.put(&another, &file).await.unwrap_err().to_string();
        assert!(said.contains("not what the build said") && !artifacts.has(&another).await, "{said}");
        artifacts.put(&packed.digest, &file).await.unwrap();
        let artifact = Artifact::Slug { digest: packed.digest.clone() };
        let unpack = folders.unpacker();
        let (one, two) = tokio::join!(unpack(artifact.clone()), unpack(artifact.clone()));
        assert_eq!(fs::read_to_string(one.unwrap().path.join("index.html")).unwrap(), "hello");
        let lease = two.unwrap();
        assert_eq!(folders.prune(&[]).await.unwrap(), 0);
        assert_eq!(folders.0.users.lock().unwrap().len(), 1);
        drop(lease);
        // What is prepared stays as long as its lease.
        let app = deis_core::model::AppRef {
            name: deis_core::AppName::new("blog").unwrap(),
            uid: deis_core::model::AppUid(uuid::Uuid::nil()),
        };
        let prepared = folders.preparer()(app, artifact.clone()).await.unwrap();
        assert_eq!(folders.prune(&[]).await.unwrap(), 0);
        drop(prepared);
        assert_eq!(folders.prune(&[]).await.unwrap(), 1);
        assert_eq!(folders.0.users.lock().unwrap().len(), 0, "who does not use it is not remembered");

        let place = ObjectPath::from(format!("slugs/{}.tar.zst", packed.digest.hex()));
        store.put(&place, Bytes::from_static(b"garbage").into()).await.unwrap();
        assert!(artifacts.has(&packed.digest).await);
        assert!(matches!(unpack(artifact.clone()).await, Err(ArtifactError::Definitive { .. })));
        // Nobody builds on it any more, and the next build of the same source mends it, whatever its size.
        assert!(!artifacts.has(&packed.digest).await);
        let same_size = Bytes::from(vec![0; usize::try_from(fs::metadata(&file).unwrap().len()).unwrap()]);
        store.put(&place, same_size.into()).await.unwrap();
        artifacts.put(&packed.digest, &file).await.unwrap();
        drop(unpack(artifact).await.unwrap());
        assert_eq!(folders.prune(&[]).await.unwrap(), 1);
        let missing = Artifact::Slug { digest: Digest::of(b"nothing") };
        assert!(matches!(unpack(missing).await, Err(ArtifactError::Definitive { .. })));
        assert_eq!(fs::read_dir(folder.path().join("unpacked")).unwrap().count(), 0);
    }
}
