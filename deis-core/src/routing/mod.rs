//! What a proxy needs to know: which app a host means ([`RouteTable`]), and which instances of it take requests
//! ([`Endpoints`]). Both are tables in memory. The engine and the schedulers write them, a proxy reads them.

mod destroyed;
mod endpoints;
mod lease;
mod routes;

pub(crate) use destroyed::DestroyedApps;
pub use endpoints::{EndpointClass, EndpointInfo, Endpoints};
pub use lease::Lease;
pub use routes::{Route, RouteTable};
