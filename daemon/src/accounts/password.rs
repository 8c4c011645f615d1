//! Password hashes: argon2id, off the async threads, a bounded number at once.

use std::{net::IpAddr, sync::Arc};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _},
};
use deis_core::model::Secret;
use tokio::sync::Semaphore;

use crate::keyed_limit::{Exhausted, KeyedLimit};

/// Hashes that are made at a time. Each takes 19 MiB and tens of milliseconds of a core.
const MAX_AT_ONCE: usize = 2;
/// Hashes that are made or waited for: of one address, and in all.
const MAX_OF_ADDRESS: usize = 8;
const MAX_IN_ALL: usize = 34;

/// Hashes and checks passwords, for clients at addresses.
#[derive(Clone, Debug)]
pub struct Passwords {
    at_once: Arc<Semaphore>,
    queue: KeyedLimit<IpAddr>,
}

/// A password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("too many log-ins at once; try again in a moment")]
    Busy,
    /// Too many of this address wait already.
    #[error("too many log-ins from this address at once; try again in a moment")]
    BusyAddress,
    /// The hash could not be made.
    #[error("the password could not be hashed")]
    Failed,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            queue: KeyedLimit::with_total(MAX_OF_ADDRESS, MAX_IN_ALL),
        }
    }
}

impl Passwords {
    /// The hash of a password, with a salt of its own, in PHC form.
    ///
    /// # Errors
    /// `Busy` and `BusyAddress` where too many are waited for.
    pub async fn hash(&self, client: IpAddr, password: String) -> Result<Secret, PasswordError> {
        let hash =
            move || Argon2::default().hash_password(password.as_bytes()).map(|h| h.to_string().into()).ok();
        self.run(client, hash).await?.ok_or(PasswordError::Failed)
    }

    /// Whether a password is the one of a hash. Without a hash – no such user – the same work is done for nothing, so
    /// that the time taken tells nobody who exists.
    ///
    /// # Errors
    /// `Busy` and `BusyAddress` where too many are waited for.
    pub async fn verify(
        &self,
        client: IpAddr,
        password: String,
        hash: Option<Secret>,
    ) -> Result<bool, PasswordError> {
        self.run(client, move || {
            if let Some(hash) = hash {
                Argon2::default().verify_password(password.as_bytes(), hash.expose()).is_ok()
            } else {
                let _ = Argon2::default().hash_password(password.as_bytes());
                false
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        client: IpAddr,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = self.queue.enter(client).map_err(|exhausted| match exhausted {
            Exhausted::Key => PasswordError::BusyAddress,
            Exhausted::Total => PasswordError::Busy,
        })?;
        let _slot = self.at_once.acquire().await.map_err(|_| PasswordError::Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| PasswordError::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn only_the_right_password_passes() {
        let passwords = Passwords::default();
        let hash = passwords.hash(CLIENT, "secret".into()).await.unwrap();
        assert!(hash.expose().starts_with("$argon2id$"));
        assert!(passwords.verify(CLIENT, "secret".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(CLIENT, "other".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify(CLIENT, "secret".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn one_address_does_not_take_all_places() {
        let passwords = Passwords::default();
        let verify = |client: [u8; 4]| passwords.verify(client.into(), "x".into(), None);
        let flood = futures_util::future::join_all((0..30).map(|_| verify([10, 0, 0, 1])));
        let (flood, other) = tokio::join!(flood, verify([10, 0, 0, 2]));
        assert!(!other.unwrap());
        let refused = flood.iter().filter(|r| matches!(r, Err(PasswordError::BusyAddress))).count();
        assert_eq!(refused, 30 - MAX_OF_ADDRESS);
    }
}
