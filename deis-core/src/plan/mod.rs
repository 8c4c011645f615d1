//! Pure decisions: data in, data out. No I/O, no clock, no randomness.
//!
//! The decisions are the engine's own: callers get what comes of them, by a dry run before it happens. Public are the
//! numbers that the engine lives by, and why there is no way back to a release, which an error holds.

pub(crate) mod change;
pub(crate) mod config;
pub mod constants;
pub(crate) mod convergence;
pub(crate) mod digest;
pub(crate) mod formation;
pub(crate) mod lower;
pub(crate) mod progress;
mod quantity;
pub(crate) mod release;
pub(crate) mod rollout;
pub(crate) mod routes;
pub(crate) mod serving;

pub use release::RollbackError;
