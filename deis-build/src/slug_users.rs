//! Which apps use which slugs, so that a slug goes with the last of them.
//!
//! Beside the slugs stands an empty object for each app and slug. A slug is removed only with the last of these, which
//! goes only with an app whose destruction is on record: what nobody has ever heard of stays, for the ledger may be a
//! restored backup. Slugs and their users are changed one at a time in a process, and one process has the store.

use bytes::Bytes;
use deis_core::{Digest, model::AppUid};
use futures_util::TryStreamExt as _;
use object_store::{Error, ObjectStoreExt as _, path::Path as ObjectPath};

use crate::artifacts::{Artifacts, StoreFailed, slug_path, unavailable};

/// Below it: a folder for each app.
const FOLDER: &str = "slug-users";

impl Artifacts {
    /// Says that an app uses a slug, before it is put or found; from then on it stays as long as the app. Whoever
    /// deploys one app's slug to another app says it for that one too.
    ///
    /// # Errors
    /// The object store cannot be reached.
    pub async fn add_user(&self, app: AppUid, digest: &Digest) -> Result<(), StoreFailed> {
        let _turn = self.users().lock().await;
        self.store().put(&place(app, digest), Bytes::new().into()).await.map(drop).map_err(unavailable)
    }

    /// The apps that use slugs.
    ///
    /// # Errors
    /// The object store cannot be reached.
    pub async fn users_of_slugs(&self) -> Result<Vec<AppUid>, StoreFailed> {
        let found = self.store().list_with_delimiter(Some(&ObjectPath::from(FOLDER))).await;
        let folders = found.map_err(unavailable)?.common_prefixes;
        let names = folders.iter().filter_map(ObjectPath::filename);
        Ok(names.filter_map(|name| uuid::Uuid::parse_str(name).ok()).map(AppUid).collect())
    }

    /// Removes an app that is gone from the users, and the slugs that nobody else uses. Returns how many went.
    ///
    /// # Errors
    /// The object store cannot be reached; what is left goes the next time.
    pub async fn remove_user(&self, app: AppUid) -> Result<usize, StoreFailed> {
        let others: Vec<AppUid> =
            self.users_of_slugs().await?.into_iter().filter(|other| *other != app).collect();
        let own = self.store().list(Some(&ObjectPath::from(format!("{FOLDER}/{app}"))));
        let own: Vec<ObjectPath> =
            own.map_ok(|meta| meta.location).try_collect().await.map_err(unavailable)?;
        let mut removed = 0;
        for user in own {
            let digest = user.filename().and_then(|name| Digest::try_from(name.to_owned()).ok());
            let _turn = self.users().lock().await;
            if let Some(digest) = digest
                && !self.is_used_by(&others, &digest).await?
            {
                absent(self.store().delete(&slug_path(&digest)).await)?;
                removed += 1;
            }
            // Last: after a kill between the two it is found again.
            absent(self.store().delete(&user).await)?;
        }
        Ok(removed)
    }

    async fn is_used_by(&self, apps: &[AppUid], digest: &Digest) -> Result<bool, StoreFailed> {
        for app in apps {
            match self.store().head(&place(*app, digest)).await {
                Ok(_) => return Ok(true),
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(unavailable(error)),
            }
        }
        Ok(false)
    }
}

fn place(app: AppUid, digest: &Digest) -> ObjectPath {
    ObjectPath::from(format!("{FOLDER}/{app}/{}", digest.hex()))
}

fn absent(removed: Result<(), Error>) -> Result<(), StoreFailed> {
    match removed {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(unavailable(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_slug_goes_with_the_last_app_that_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = object_store::local::LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let artifacts = Artifacts::new(Arc::new(store.with_automatic_cleanup(true)));
        let [ann, bob, other] = [0; 3].map(|_| AppUid(uuid::Uuid::new_v4()));
        let mut digests = Vec::new();
        for text in ["shared", "own", "unheard of"] {
            let file = folder.path().join("file");
            tokio::fs::write(&file, text).await.unwrap();
            let digest = Digest::of(text.as_bytes());
            artifacts.put(&digest, &file).await.unwrap();
            digests.push(digest);
        }
        let [shared, own, unheard] = &digests[..] else { panic!("three") };
        for (app, digest) in [(ann, shared), (ann, own), (bob, shared)] {
            artifacts.add_user(app, digest).await.unwrap();
        }
        assert_eq!(artifacts.remove_user(other).await.unwrap(), 0);
        assert_eq!(artifacts.remove_user(ann).await.unwrap(), 1);
        assert!(artifacts.has(shared).await && !artifacts.has(own).await);
        assert_eq!(artifacts.users_of_slugs().await.unwrap(), [bob]);
        // Used anew meanwhile.
        artifacts.add_user(other, shared).await.unwrap();
        assert_eq!(artifacts.remove_user(bob).await.unwrap(), 0);
        assert_eq!(artifacts.remove_user(other).await.unwrap(), 1);
        assert!(!artifacts.has(shared).await && artifacts.has(unheard).await);
        assert!(artifacts.users_of_slugs().await.unwrap().is_empty());
    }
}
