//! Faults that show at the router.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use deis_core::{
    DomainName,
    conformance::sim::World,
    model::{AppRef, AppRoutes, Phase, RouteFence},
    port::{Router, RouterError, Scheduler},
    store::MemoryStore,
};

use super::{Bug, rollout};

/// A router that keeps routes back although it acknowledged them. A process that dies takes them with it.
#[derive(Debug)]
pub(super) struct PlantedRouter {
    bug: Bug,
    inner: Arc<dyn Router>,
    memory: Arc<MemoryStore>,
    world: World,
    kept_back: Mutex<Option<AppRoutes>>,
    /// Whether somebody has asked since they were kept back.
    asked: Mutex<bool>,
}

impl PlantedRouter {
    pub(super) fn new(bug: Bug, inner: Arc<dyn Router>, memory: Arc<MemoryStore>, world: World) -> Self {
        Self { bug, inner, memory, world, kept_back: Mutex::default(), asked: Mutex::default() }
    }

    fn kept_back(&self) -> Option<AppRoutes> {
        self.kept_back.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep_back(&self, routes: Option<AppRoutes>) {
        *self.kept_back.lock().unwrap_or_else(PoisonError::into_inner) = routes;
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Whether these routes are acknowledged and kept back.
    fn is_early(&self, routes: &AppRoutes) -> bool {
        let rollout = rollout(&self.memory, &routes.app);
        match self.bug {
            Bug::RouterAcknowledgesFirst => true,
            Bug::RevertAppliesFirst => {
                rollout.is_some_and(|rollout| matches!(rollout.phase, Phase::Reverting { .. }))
            }
            _ => false,
        }
    }

    /// Whether routes that were kept back come into force now.
    async fn is_due(&self, routes: &AppRoutes) -> bool {
        if self.bug == Bug::RevertAppliesFirst {
            let seen = Scheduler::observe(&self.world, &routes.app).await;
            return seen.is_ok_and(|seen| seen.generation >= routes.fence.generation);
        }
        std::mem::replace(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner), true)
    }
}

#[async_trait]
impl Router for PlantedRouter {
    async fn publish(&self, routes: &AppRoutes) -> Result<Vec<(DomainName, String)>, RouterError> {
        if self.is_early(routes) {
            self.keep_back(Some(routes.clone()));
            return Ok(Vec::new());
        }
        self.keep_back(None);
        self.inner.publish(routes).await
    }

    async fn published(&self, app: &AppRef) -> Result<Option<RouteFence>, RouterError> {
        if let Some(routes) = self.kept_back() {
            if !self.is_due(&routes).await {
                return Ok(Some(routes.fence));
            }
            self.keep_back(None);
            self.inner.publish(&routes).await?;
        }
        self.inner.published(app).await
    }

    async fn withdraw(&self, app: &AppRef) -> Result<(), RouterError> {
        self.keep_back(None);
        self.inner.withdraw(app).await
    }

    async fn apps(&self) -> Result<Vec<AppRef>, RouterError> {
        self.inner.apps().await
    }
}
