//! Password hashes: argon2id, off the async threads, a bounded number at once.

use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _},
};
use deis_core::Secret;
use tokio::sync::Semaphore;

/// Hashes and checks passwords. Each hash takes 19 MiB and tens of milliseconds of a core.
#[derive(Clone, Debug)]
pub struct Passwords {
    at_once: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

/// A password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("too many log-ins at once; try again in a moment")]
    Busy,
    /// The hash could not be made.
    #[error("the password could not be hashed")]
    Failed,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { at_once: Arc::new(Semaphore::new(2)), queue: Arc::new(Semaphore::new(34)) }
    }
}

impl Passwords {
    /// The hash of a password, with a salt of its own, in PHC form.
    pub async fn hash(&self, password: String) -> Result<Secret, PasswordError> {
        let hash =
            move || Argon2::default().hash_password(password.as_bytes()).map(|h| h.to_string().into()).ok();
        self.run(hash).await?.ok_or(PasswordError::Failed)
    }

    /// Whether a password is the one of a hash. Without a hash – no such user – the same work is done for nothing, so
    /// that the time taken tells nobody who exists.
    pub async fn verify(&self, password: String, hash: Option<Secret>) -> Result<bool, PasswordError> {
        self.run(move || {
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
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = self.queue.try_acquire().map_err(|_| PasswordError::Busy)?;
        let _slot = self.at_once.acquire().await.map_err(|_| PasswordError::Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| PasswordError::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_passes() {
        let passwords = Passwords::default();
        let hash = passwords.hash("secret".into()).await.unwrap();
        assert!(hash.expose().starts_with("$argon2id$"));
        assert!(passwords.verify("secret".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("other".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("secret".into(), None).await.unwrap());
    }
}
