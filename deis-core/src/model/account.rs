//! Users, their SSH keys and what they may do.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AppName, Digest, Secret, Timestamp, UserId, Username};

/// A user. The password is known as a hash that the caller made; the token as a hash of what the caller derives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Identity: what a token is derived from.
    pub id: UserId,
    /// Log-in name.
    pub name: Username,
    /// Mail address, may be empty.
    pub email: String,
    /// First name, may be empty.
    pub first_name: String,
    /// Last name, may be empty.
    pub last_name: String,
    /// Hash of the password, in the caller's format.
    pub password_hash: Secret,
    /// Counter that a token is derived from; rises when the token is regenerated.
    pub token_counter: u64,
    /// Hash of the current token.
    pub token_hash: Digest,
    /// Whether the user may do everything.
    pub superuser: bool,
    /// Whether the user may log in.
    pub active: bool,
    /// When the user registered.
    pub joined: Timestamp,
}

/// A public SSH key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKey {
    /// Identity on the wire.
    pub uuid: Uuid,
    /// Name, unique on the platform; usually the key's comment.
    pub id: String,
    /// Whose.
    pub owner: Username,
    /// The key as given, trimmed.
    pub public: String,
    /// SHA-256 of the decoded key: what a log-in is looked up by.
    pub fingerprint: Digest,
    /// MD5 of the decoded key, colon separated, as the API shows it.
    pub fingerprint_md5: String,
    /// When it was added.
    pub created: Timestamp,
}

/// Who asks for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The platform itself, or an embedder that does its own permission checks.
    System {
        /// Name that stands in summaries and logs.
        name: Username,
    },
    /// A user.
    User {
        /// Their name.
        name: Username,
        /// Whether they may do everything.
        superuser: bool,
    },
}

impl Actor {
    /// The name that stands in summaries and logs.
    pub fn name(&self) -> &Username {
        match self {
            Self::System { name } | Self::User { name, .. } => name,
        }
    }

    /// Whether everything is allowed.
    pub fn is_superuser(&self) -> bool {
        match self {
            Self::System { .. } => true,
            Self::User { superuser, .. } => *superuser,
        }
    }
}

/// A user's share of an app: the owner's, or a collaborator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do everything with the app.
    Owner,
    /// May use the app, but not destroy it or hand it over.
    Collaborator,
}

/// A link from a user to an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The app.
    pub app: AppName,
    /// What the user is to it.
    pub role: Role,
}
