//! Typed records over a [`crate::port::Store`]: keys, envelopes, events, apps and their ledger.

pub mod apps;
pub mod envelope;
pub mod events;
pub mod gone;
pub mod keys;
mod kinds;
pub mod ledger;
pub mod query;
pub mod record;
