//! An embeddable platform-as-a-service engine: apps, builds, numbered releases, rollouts that survive a kill.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "deis runs on Linux only: it supervises processes with pidfds, process groups and child subreapers"
);

#[cfg(feature = "conformance")]
pub mod conformance;
mod endpoints;
mod error;
#[cfg(feature = "local")]
pub mod local;
pub mod logs;
pub mod model;
pub mod plan;
pub mod port;
pub mod service;
pub mod state;
pub mod store;

pub use endpoints::{EndpointInfo, Endpoints, Lease};
pub use error::{Error, Result};
pub use model::*;
pub use service::*;
