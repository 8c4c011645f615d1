//! API tokens: the same at each log-in until they are made anew, though only a hash of them is stored.

use std::{fs, path::Path};

use deis_core::{Digest, model::UserId};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::datadir::write_privately;

/// The server's secret. Whoever has it can make every token, so it is readable by its owner only.
#[derive(Clone)]
pub struct TokenSecret([u8; 32]);

impl TokenSecret {
    /// Reads the secret, or makes one at the first start.
    pub fn load_or_create(path: &Path) -> std::io::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => bytes.try_into().map(Self).map_err(|_| {
                let text = "it must hold exactly 32 bytes; remove it to have a new one made (all tokens change then)";
                std::io::Error::new(std::io::ErrorKind::InvalidData, text)
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secret: [u8; 32] = rand::random();
                write_privately(path, &secret)?;
                Ok(Self(secret))
            }
            Err(error) => Err(error),
        }
    }

    /// The token of a user: 40 hex digits that depend on the user's id and a counter.
    pub fn token(&self, user: UserId, counter: u64) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(b"deis token v1\0");
        mac.update(user.0.as_bytes());
        mac.update(&counter.to_be_bytes());
        let bytes = mac.finalize().into_bytes();
        Digest::from_hash(&bytes).hex()[..40].to_owned()
    }
}

impl std::fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

/// What is stored of a token and looked up by; equal time for every token, since only hashes are compared.
pub fn hash(token: &str) -> Digest {
    Digest::of(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_depend_on_user_and_counter_and_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let secret = TokenSecret::load_or_create(&file).unwrap();
        let user = UserId(uuid::Uuid::from_u128(7));
        let token = secret.token(user, 0);
        assert_eq!(token.len(), 40);
        assert_eq!(TokenSecret::load_or_create(&file).unwrap().token(user, 0), token);
        assert_ne!(secret.token(user, 1), token);
        assert_ne!(secret.token(UserId(uuid::Uuid::from_u128(8)), 0), token);
        fs::write(&file, "short").unwrap();
        assert!(TokenSecret::load_or_create(&file).is_err());
    }
}
