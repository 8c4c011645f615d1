//! The classic buildpack contract: detect, compile, release, `.profile.d`.

pub(crate) mod control;
pub mod driver;
pub(crate) mod embedded;
mod export;
pub(crate) mod job;
mod leftovers;
mod pack;
mod release;
mod script;
