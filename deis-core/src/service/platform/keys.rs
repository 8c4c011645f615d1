//! SSH keys: add, list, remove, and whose a fingerprint is.

use super::{Platform, users::remove_key};
use crate::{
    error::{Error, Kind, Result},
    model::{Digest, SshKey, User, Username},
    plan::constants::MAX_KEYS,
    port::{Scan, StoreError},
    service::retry::{TRIES, back_off},
    state::{
        keys,
        record::{Edits, get, scan},
    },
};

impl Platform {
    /// Adds a key to a user. Its name and its material are unique on the platform.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] with [`Kind::Key`] for the material and with [`Kind::KeyId`] for the name,
    /// [`Error::Invalid`] for more than [`MAX_KEYS`](crate::plan::constants::MAX_KEYS) keys of one user.
    pub async fn add_key(&self, key: &SshKey) -> Result<()> {
        let _guard = self.lock_user(&key.owner).await;
        if self.keys(&key.owner).await?.len() >= MAX_KEYS {
            return Err(Error::invalid("public", format!("a user has at most {MAX_KEYS} keys")));
        }
        for lost in 0..TRIES {
            back_off(lost).await;
            // Written as it is, so that whoever removes the user meanwhile notices.
            let mut edits = Edits::new();
            edits.create(keys::ssh_key(&key.fingerprint), key);
            edits.create(keys::ssh_key_id(&key.id), &key.fingerprint);
            edits.create(keys::user_key(&key.owner, &key.id), key);
            let owner = self.stored_user(&key.owner).await?;
            edits.replace(keys::user(&key.owner), owner.revision, &owner.value);
            match edits.commit(self.store()).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { key: changed }) if changed == keys::user(&key.owner) => {}
                Err(StoreError::Conflict { key: taken }) => {
                    let what = if taken == keys::ssh_key(&key.fingerprint) { Kind::Key } else { Kind::KeyId };
                    return Err(Error::AlreadyExists { what, name: key.id.clone() });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Busy { reason: "the account is being changed by others right now; try again".to_owned() })
    }

    /// A user's keys, by their text.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be reached.
    pub async fn keys(&self, owner: &Username) -> Result<Vec<SshKey>> {
        let found = scan::<SshKey>(self.store(), &Scan::prefix(keys::user_keys(owner))).await?;
        let mut all: Vec<SshKey> = found.into_iter().map(|(_, key)| key.value).collect();
        all.sort_by(|a, b| a.public.cmp(&b.public));
        Ok(all)
    }

    /// One of a user's keys.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the user has no key of this name.
    pub async fn key(&self, owner: &Username, id: &str) -> Result<SshKey> {
        let found = get::<SshKey>(self.store(), &keys::user_key(owner, id)).await?;
        found.map(|k| k.value).ok_or_else(|| Error::NotFound { what: Kind::Key, name: id.to_owned() })
    }

    /// Removes one of a user's keys.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the user has no key of this name.
    pub async fn remove_key(&self, owner: &Username, id: &str) -> Result<()> {
        let key = self.key(owner, id).await?;
        let mut edits = Edits::new();
        remove_key(&mut edits, &key);
        match edits.commit(self.store()).await {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict { .. }) => Err(Error::NotFound { what: Kind::Key, name: id.to_owned() }),
            Err(error) => Err(error.into()),
        }
    }

    /// Whose key has this fingerprint.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be reached.
    pub async fn user_by_key(&self, fingerprint: &Digest) -> Result<Option<(User, SshKey)>> {
        let Some(key) = get::<SshKey>(self.store(), &keys::ssh_key(fingerprint)).await? else {
            return Ok(None);
        };
        let user = get::<User>(self.store(), &keys::user(&key.value.owner)).await?;
        Ok(user.filter(|u| u.value.active).map(|u| (u.value, key.value)))
    }
}
