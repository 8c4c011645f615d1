//! Users and keys.

use deis_core::model::{SshKey, User};
use serde::Serialize;

/// A user.
#[derive(Debug, Serialize)]
pub(crate) struct UserDto {
    email: String,
    username: String,
    first_name: String,
    last_name: String,
    is_superuser: bool,
    is_staff: bool,
    groups: [(); 0],
    user_permissions: [(); 0],
    last_login: String,
    date_joined: String,
    is_active: bool,
}

impl From<User> for UserDto {
    fn from(user: User) -> Self {
        Self {
            email: user.email,
            username: user.name.to_string(),
            first_name: user.first_name,
            last_name: user.last_name,
            is_superuser: user.superuser,
            is_staff: user.superuser,
            groups: [],
            user_permissions: [],
            last_login: user.joined.to_rfc3339(),
            date_joined: user.joined.to_rfc3339(),
            is_active: user.active,
        }
    }
}

/// An SSH key.
#[derive(Debug, Serialize)]
pub(crate) struct KeyDto {
    uuid: String,
    owner: String,
    created: String,
    updated: String,
    id: String,
    public: String,
    fingerprint: String,
}

impl From<SshKey> for KeyDto {
    fn from(key: SshKey) -> Self {
        Self {
            uuid: key.uuid.to_string(),
            owner: key.owner.to_string(),
            created: key.created.to_rfc3339(),
            updated: key.created.to_rfc3339(),
            id: key.id,
            public: key.public,
            fingerprint: key.fingerprint_md5,
        }
    }
}
