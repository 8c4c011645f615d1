//! Typed records over a [`crate::port::Store`]: keys, envelopes, events, the ledger.

pub mod events;
pub mod keys;
pub mod record;
