//! What is there for the whole platform: how it is put together, its users and their keys, all events.

mod builder;
pub(in crate::service) mod events;
mod hub;
mod keyed_mutex;
mod keys;
mod options;
pub(in crate::service) mod users;

pub use builder::{MissingBackend, PlatformBuilder};
pub use events::EventStream;
pub(in crate::service) use hub::Parts;
pub use hub::{Clock, Platform};
pub use options::{PlatformOptions, RESERVED_NAMES};
pub use users::NewUser;
