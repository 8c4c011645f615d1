//! The classic buildpack contract: detect, compile, release, `.profile.d`.

pub mod driver;
pub(crate) mod embedded;
mod release;
mod script;
