//! Passwords and tokens: what the engine takes as hashes is made here.

mod attempts;
mod bootstrap;
mod password;
mod token;

pub use attempts::{LoginAttempt, LoginAttempts};
pub use bootstrap::{Bootstrap, Refused};
pub use password::{PasswordError, Passwords};
pub use token::{TokenSecret, hash as token_hash};
