//! Who leads requests to apps.

use std::fmt;

use async_trait::async_trait;

use super::BoxError;
use crate::model::{AppRef, AppRoutes, DomainName, RouteFence};

/// Takes whole sets of routes, fenced.
///
/// # Implementing
/// Run `conformance::router` over it. This one keeps the sets for somebody else to read; it takes no domain below
/// `example.com`:
///
/// ```
/// use std::{collections::BTreeMap, sync::{Mutex, MutexGuard, PoisonError}};
/// use deis_core::{
///     DomainName,
///     model::{AppRef, AppRoutes, AppUid, Generation, RouteFence},
///     port::{Router, RouterError},
/// };
///
/// #[derive(Debug, Default)]
/// struct Noted(Mutex<BTreeMap<AppUid, (RouteFence, Option<AppRoutes>)>>);
///
/// impl Noted {
///     fn lock(&self) -> MutexGuard<'_, BTreeMap<AppUid, (RouteFence, Option<AppRoutes>)>> {
///         self.0.lock().unwrap_or_else(PoisonError::into_inner)
///     }
/// }
///
/// #[async_trait::async_trait]
/// impl Router for Noted {
///     async fn publish(&self, routes: &AppRoutes) -> Result<Vec<(DomainName, String)>, RouterError> {
///         let mut apps = self.lock();
///         let current = apps.get(&routes.app.uid).map(|(fence, _)| *fence).unwrap_or_default();
///         if routes.fence < current {
///             return Err(RouterError::Stale { given: routes.fence, current });
///         }
///         let (refused, taken) =
///             routes.domains.iter().cloned().partition(|domain| domain.as_str().ends_with(".example.com"));
///         let kept = AppRoutes { domains: taken, ..routes.clone() };
///         apps.insert(routes.app.uid, (routes.fence, Some(kept)));
///         let refused: Vec<DomainName> = refused;
///         Ok(refused.into_iter().map(|domain| (domain, "it is an example".to_owned())).collect())
///     }
///
///     async fn published(&self, app: &AppRef) -> Result<Option<RouteFence>, RouterError> {
///         Ok(self.lock().get(&app.uid).map(|(fence, _)| *fence))
///     }
///
///     async fn withdraw(&self, app: &AppRef) -> Result<(), RouterError> {
///         // The fence stays: a late `publish` must not bring the routes of a destroyed app back.
///         let forever = RouteFence { routes: u64::MAX, generation: Generation::MAX };
///         self.lock().insert(app.uid, (forever, None));
///         Ok(())
///     }
///
///     async fn apps(&self) -> Result<Vec<AppRef>, RouterError> {
///         Ok(self.lock().values().filter_map(|(_, routes)| Some(routes.as_ref()?.app.clone())).collect())
///     }
/// }
/// ```
#[async_trait]
pub trait Router: fmt::Debug + Send + Sync + 'static {
    /// Replaces all routes of one app. The same fence again has no effect.
    ///
    /// Returns the domains that it cannot take, each with the reason; the rest of the set is in force.
    ///
    /// # Errors
    /// [`RouterError::Stale`] for an older fence than was accepted before, and for any after `withdraw` of this uid;
    /// [`RouterError::Unavailable`].
    async fn publish(&self, routes: &AppRoutes) -> Result<Vec<(DomainName, String)>, RouterError>;

    /// Fence of the routes that it has for this app; `None` if it knows nothing of it.
    ///
    /// # Errors
    /// [`RouterError::Unavailable`].
    async fn published(&self, app: &AppRef) -> Result<Option<RouteFence>, RouterError>;

    /// Removes all routes of this life of the app and refuses it from then on. Unknown app: `Ok`.
    ///
    /// # Errors
    /// [`RouterError::Unavailable`].
    async fn withdraw(&self, app: &AppRef) -> Result<(), RouterError>;

    /// The apps that have routes here, to find orphans. A list alone deletes nothing.
    ///
    /// # Errors
    /// [`RouterError::Unavailable`].
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
