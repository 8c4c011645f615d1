//! An instance whose shim lives.

use crate::local::{process::handle::ShimProcess, run_dir::record::InstanceRecord};

/// The shim of an instance, and what it wrote of itself.
#[derive(Debug)]
pub(in crate::local) struct Running {
    pub(in crate::local) process: ShimProcess,
    pub(in crate::local) state: InstanceRecord,
}
