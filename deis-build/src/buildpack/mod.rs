//! The classic buildpack contract: detect, compile, release, `.profile.d`.

pub(crate) mod control_files;
pub mod driver;
pub(crate) mod embedded;
mod export;
pub(crate) mod job;
mod orphans;
mod release;
mod script;
mod selection;
mod watch;
