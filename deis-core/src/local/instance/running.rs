//! An instance whose shim lives.

use crate::local::{process::Process, shim::State};

/// The shim of an instance, and what it wrote of itself.
#[derive(Debug)]
pub(in crate::local) struct Running {
    pub(in crate::local) process: Process,
    pub(in crate::local) state: State,
}
