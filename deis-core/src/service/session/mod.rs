//! What an actor can do without an app: make one, list them, and get a handle of one.

mod apps;
mod handle;

pub(in crate::service) use handle::AccessSlots;
pub use handle::Session;
