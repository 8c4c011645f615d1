//! One instance: its process, its checks, and what is done when they fail.
//!
//! The [`supervisor`] carries an instance from its start to its end, the checks of its health run beside it, and both
//! tell what they find to the table of the scheduler, which decides.

mod availability;
pub(in crate::local) mod context;
mod health;
mod probe;
pub(in crate::local) mod readiness;
mod restart_backoff;
pub(in crate::local) mod supervisor;
mod wrong_port;
