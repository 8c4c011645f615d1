//! Who leads requests to apps.

use std::fmt;

use async_trait::async_trait;

use super::BoxError;
use crate::model::{AppRef, AppRoutes, RouteFence};

/// Takes whole sets of routes, fenced.
///
/// # Implementing
/// Run `conformance::router` over it.
#[async_trait]
pub trait Router: fmt::Debug + Send + Sync + 'static {
    /// Replaces all routes of one app. The same fence again has no effect; an older one than accepted before,
    /// or any after `withdraw` of this uid, is [`RouterError::Stale`].
    ///
    /// Returns the domains that it cannot take, each with the reason; the rest of the set is in force.
    async fn publish(
        &self,
        routes: &AppRoutes,
    ) -> Result<Vec<(crate::model::DomainName, String)>, RouterError>;

    /// Fence of the routes that it has for this app; `None` if it knows nothing of it.
    async fn published(&self, app: &AppRef) -> Result<Option<RouteFence>, RouterError>;

    /// Removes all routes of this life of the app and refuses it from then on. Unknown app: `Ok`.
    async fn withdraw(&self, app: &AppRef) -> Result<(), RouterError>;

    /// The apps that have routes here, to find orphans. A list alone deletes nothing.
    async fn apps(&self) -> Result<Vec<AppRef>, RouterError>;
}

/// Why a router call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// Somebody with a newer view was here before.
    #[error("routes {given} are older than {current}, which were accepted before")]
    Stale {
        /// What was given.
        given: RouteFence,
        /// What was accepted before.
        current: RouteFence,
    },
    /// It cannot be reached; whether the call took effect is unknown.
    #[error("the router is not available")]
    Unavailable(#[source] BoxError),
}
