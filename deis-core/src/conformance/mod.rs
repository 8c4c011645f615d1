//! What proves a back end right, and the engine unkillable. Unstable: cases are added in any version.

#![expect(
    clippy::missing_panics_doc,
    reason = "a case panics where a promise is broken: that is what it is for"
)]

pub mod faults;
pub mod leases;
pub mod logs;
pub mod router;
pub mod runner;
pub mod scheduler;
pub mod sim;
pub mod store;
mod wait;
