//! Pure decisions: data in, data out. No I/O, no clock, no randomness.

pub mod change;
pub mod config;
pub mod constants;
pub mod convergence;
pub mod digest;
pub mod formation;
pub mod lower;
pub mod progress;
mod quantity;
pub mod release;
pub mod rollout;
pub mod routes;
pub mod serving;
