//! Processes of this machine: how their supervising processes are started, watched and ended.

pub(in crate::local) mod handle;
pub(in crate::local) mod launch;
pub(in crate::local) mod orphans;
pub(in crate::local) mod running;
pub(in crate::local) mod validate;
