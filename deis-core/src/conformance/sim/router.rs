//! The simulated router.

use async_trait::async_trait;

use super::World;
use crate::{
    model::{AppRef, AppRoutes, DomainName, Generation, RouteFence},
    port::{Router, RouterError},
};

#[async_trait]
impl Router for World {
    async fn publish(&self, routes: &AppRoutes) -> Result<Vec<(DomainName, String)>, RouterError> {
        let mut state = self.state();
        let given = routes.fence;
        if state.withdrawn.contains(&routes.app.uid) {
            let current = RouteFence { routes: u64::MAX, generation: Generation::MAX };
            return Err(RouterError::Stale { given, current });
        }
        match state.routes.get(&routes.app.name) {
            Some(known) if known.app.uid == routes.app.uid && known.fence > given => {
                return Err(RouterError::Stale { given, current: known.fence });
            }
            _ => {}
        }
        state.routes.insert(routes.app.name.clone(), routes.clone());
        Ok(Vec::new())
    }

    async fn published(&self, app: &AppRef) -> Result<Option<RouteFence>, RouterError> {
        let state = self.state();
        Ok(state.routes.get(&app.name).filter(|r| r.app.uid == app.uid).map(|r| r.fence))
    }

    async fn withdraw(&self, app: &AppRef) -> Result<(), RouterError> {
        let mut state = self.state();
        state.withdrawn.push(app.uid);
        if state.routes.get(&app.name).is_some_and(|r| r.app.uid == app.uid) {
            state.routes.remove(&app.name);
        }
        Ok(())
    }

    async fn apps(&self) -> Result<Vec<AppRef>, RouterError> {
        Ok(self.state().routes.values().map(|r| r.app.clone()).collect())
    }
}
