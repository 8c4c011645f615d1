//! Typed records over a [`crate::port::Store`]: keys, envelopes, events, apps and their ledger.

pub mod apps;
pub mod events;
pub mod keys;
pub mod ledger;
pub mod record;
