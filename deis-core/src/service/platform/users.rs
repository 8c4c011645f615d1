//! Users: register, look up, change, remove. Passwords and tokens arrive as hashes.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

use super::Platform;
use crate::{
    error::{Error, Kind, Result},
    model::{Actor, AppName, Digest, Event, EventKind, Grant, Role, Secret, SshKey, User, UserId, Username},
    port::{Scan, StoreError, StoreExt as _},
    service::{app::AppHandle, session::AccessSlots},
    state::{
        events, keys,
        query::Query,
        record::{Edits, Stored, get, scan},
    },
};

/// Most tokens whose owners are remembered.
const MAX_TOKEN_OWNERS: usize = 10_000;

/// Owners of tokens that were used.
#[derive(Debug, Default)]
pub(in crate::service) struct TokenOwners(Mutex<HashMap<Digest, Username>>);

impl TokenOwners {
    fn get(&self, token: &Digest) -> Option<Username> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    fn put(&self, token: &Digest, owner: &Username) {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if owners.len() >= MAX_TOKEN_OWNERS {
            owners.clear();
        }
        owners.insert(token.clone(), owner.clone());
    }
}

/// Somebody who registers.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Identity that the token was derived from.
    pub id: UserId,
    /// Log-in name.
    pub name: Username,
    /// Mail address, may be empty.
    pub email: String,
    /// First name, may be empty.
    pub first_name: String,
    /// Last name, may be empty.
    pub last_name: String,
    /// Hash of the password.
    pub password_hash: Secret,
    /// Hash of the token.
    pub token_hash: Digest,
    /// Register only if there is nobody yet.
    pub only_first: bool,
}

impl Platform {
    /// Registers a user; the very first one becomes administrator, also when several register at once.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if the name is taken, [`Error::Conflict`] if only the first may register and is there.
    pub async fn register(&self, new: NewUser) -> Result<User> {
        for _ in 0..crate::service::retry::TRIES {
            let admins = get::<u64>(self.store(), &keys::admins()).await?;
            if new.only_first && admins.is_some() {
                return Err(Error::Conflict { reason: "the first user is there already".to_owned() });
            }
            let now = self.now();
            let user = User {
                id: new.id,
                name: new.name.clone(),
                email: new.email.clone(),
                first_name: new.first_name.clone(),
                last_name: new.last_name.clone(),
                password_hash: new.password_hash.clone(),
                token_counter: 0,
                token_hash: new.token_hash.clone(),
                superuser: admins.is_none(),
                active: true,
                joined: now,
            };
            let mut edits = Edits::new();
            if user.superuser {
                edits.create(keys::admins(), &1_u64);
            }
            edits.create(keys::user(&user.name), &user);
            edits.create(keys::token(&user.token_hash), &user.name);
            let event =
                Event { at: now, by: Some(user.name.clone()), app: None, kind: EventKind::UserRegistered };
            events::append(&mut edits, &event);
            match edits.commit(self.store()).await {
                Ok(_) => return Ok(user),
                Err(StoreError::Conflict { key }) if key == keys::user(&user.name) => {
                    return Err(Error::AlreadyExists { what: Kind::User, name: user.name.to_string() });
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Busy { reason: "too many register at once; try again".to_owned() })
    }

    /// Whether anybody has registered.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be reached.
    pub async fn has_users(&self) -> Result<bool> {
        Ok(self.store().get(&keys::admins()).await?.is_some())
    }

    /// A user by name.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such user.
    pub async fn user(&self, name: &Username) -> Result<User> {
        Ok(self.stored_user(name).await?.value)
    }

    /// All users, in the order in which they registered.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be reached.
    pub async fn users(&self) -> Result<Vec<User>> {
        let found = scan::<User>(self.store(), &Scan::prefix(keys::USERS)).await?;
        let mut users: Vec<User> = found.into_iter().map(|(_, user)| user.value).collect();
        users.sort_by_key(|user| user.joined);
        Ok(users)
    }

    /// Whose token has this hash.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be reached.
    pub async fn user_by_token(&self, hash: &Digest) -> Result<Option<User>> {
        let Some(name) = self.token_owner(hash).await? else { return Ok(None) };
        let user = get::<User>(self.store(), &keys::user(&name)).await?.map(|u| u.value);
        Ok(user.filter(|u| u.token_hash == *hash))
    }

    /// Whose token has this hash, with an app as that user sees it: what most requests begin with, in one read.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be read. The inner result is that of [`Session::app`](crate::service::Session::app).
    pub async fn app_by_token(
        &self,
        hash: &Digest,
        app: &AppName,
    ) -> Result<Option<(User, Result<AppHandle>)>> {
        let Some(name) = self.token_owner(hash).await? else { return Ok(None) };
        let mut query = Query::new();
        let user = query.get::<User>(keys::user(&name));
        let slots = AccessSlots::ask(&mut query, &name, app);
        let answers = query.read(self.store()).await?;
        let Some(user) = answers.one(user)?.map(|u| u.value).filter(|u| u.token_hash == *hash) else {
            return Ok(None);
        };
        let session = self.session(Actor::User { name: user.name.clone(), superuser: user.superuser });
        let handle = session.take_app(&answers, slots, app);
        Ok(Some((user, handle)))
    }

    /// The user that a token was made for. That never changes, so it is remembered; whether the token still counts, the
    /// user's own record says, and that is read each time.
    async fn token_owner(&self, hash: &Digest) -> Result<Option<Username>> {
        if let Some(name) = self.0.token_owners.get(hash) {
            return Ok(Some(name));
        }
        let Some(name) = get::<Username>(self.store(), &keys::token(hash)).await? else { return Ok(None) };
        self.0.token_owners.put(hash, &name.value);
        Ok(Some(name.value))
    }

    /// Replaces the hash of a password.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such user, [`Error::Busy`] if others change the account at the same time.
    pub async fn set_password(&self, name: &Username, password_hash: Secret) -> Result<()> {
        let _guard = self.lock_user(name).await;
        let read = self.stored_user(name).await?;
        let mut edits = Edits::new();
        edits.replace(keys::user(name), read.revision, &User { password_hash, ..read.value });
        self.commit_user(edits).await
    }

    /// Replaces a token; the old one is dead at once.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such user, [`Error::Busy`] if others change the account at the same time.
    pub async fn set_token(&self, name: &Username, counter: u64, hash: Digest) -> Result<User> {
        let _guard = self.lock_user(name).await;
        let read = self.stored_user(name).await?;
        let user = User { token_counter: counter, token_hash: hash, ..read.value.clone() };
        let mut edits = Edits::new();
        edits.replace(keys::user(name), read.revision, &user);
        edits.delete_present(keys::token(&read.value.token_hash));
        edits.create(keys::token(&user.token_hash), name);
        self.commit_user(edits).await?;
        Ok(user)
    }

    /// Removes a user with keys and token.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such user, [`Error::OwnsApps`] while the user owns apps, [`Error::Conflict`]
    /// for the last administrator: without one nobody could ever register or be helped again.
    pub async fn cancel_user(&self, name: &Username) -> Result<()> {
        let _guard = self.lock_user(name).await;
        let mut query = Query::new();
        let user = query.get::<User>(keys::user(name));
        let admins = query.get::<u64>(keys::admins());
        let grants = query.scan::<Grant>(Scan::prefix(keys::user_apps(name)));
        let ssh_keys = query.scan::<SshKey>(Scan::prefix(keys::user_keys(name)));
        let answers = query.read(self.store()).await?;
        let unknown = || Error::NotFound { what: Kind::User, name: name.to_string() };
        let read = answers.one(user)?.ok_or_else(unknown)?;
        let grants = answers.many(grants)?;
        if grants.iter().any(|(_, grant)| grant.value.role == Role::Owner) {
            return Err(Error::OwnsApps { user: name.clone() });
        }
        let mut edits = Edits::new();
        if read.value.superuser {
            let Some(admins) = answers.one(admins)?.filter(|admins| admins.value > 1) else {
                return Err(Error::Conflict {
                    reason: format!("{name} is the last administrator, and a platform needs one."),
                });
            };
            edits.replace(keys::admins(), admins.revision, &(admins.value - 1));
        }
        for (key, grant) in grants {
            edits.delete(key, grant.revision);
        }
        for (_, key) in answers.many(ssh_keys)? {
            remove_key(&mut edits, &key.value);
        }
        edits.delete_present(keys::token(&read.value.token_hash));
        edits.delete(keys::user(name), read.revision);
        self.commit_user(edits).await
    }

    /// Waits until no other change of this user, or of what a user owns, is being made in this process.
    pub(in crate::service) async fn lock_user(&self, name: &Username) -> OwnedMutexGuard<()> {
        self.0.changes.lock(keys::user(name)).await
    }

    pub(in crate::service) async fn stored_user(&self, name: &Username) -> Result<Stored<User>> {
        let found = get::<User>(self.store(), &keys::user(name)).await?;
        found.ok_or_else(|| Error::NotFound { what: Kind::User, name: name.to_string() })
    }

    async fn commit_user(&self, edits: Edits) -> Result<()> {
        match edits.commit(self.store()).await {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict { .. }) => Err(Error::Busy {
                reason: "the account is being changed by others right now; try again".to_owned(),
            }),
            Err(error) => Err(error.into()),
        }
    }
}

/// Sees to it that whoever removes this user meanwhile, having found nothing that the user owns, is refused.
///
/// The record is written as it is: a mere guard would not be noticed by the one who removes it. An owner without a
/// record is an embedder's.
pub(in crate::service) fn keep_user(edits: &mut Edits, name: &Username, read: Option<Stored<User>>) {
    match read {
        Some(read) => edits.replace(keys::user(name), read.revision, &read.value),
        None => edits.guard_absent(keys::user(name)),
    }
}

/// Puts the removal of a key into a batch.
pub(in crate::service) fn remove_key(edits: &mut Edits, key: &SshKey) {
    edits.delete_present(keys::ssh_key(&key.fingerprint));
    edits.delete_present(keys::ssh_key_id(&key.id));
    edits.delete_present(keys::user_key(&key.owner, &key.id));
}
