//! Tasks of this machine: the runner, what it knows of each, and how one is run and followed.

mod adopt;
mod attach;
pub(in crate::local) mod run;
mod runner;
mod table;

pub use runner::LocalRunner;
