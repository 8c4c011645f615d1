//! What every router must do with fences. Where requests then go is each router's own to test.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    model::{AppName, AppRef, AppRoutes, AppUid, DomainName, Generation, ProcessType, RouteFence, RouteMode},
    port::{Router, RouterError},
};

/// A router without routes.
pub type RouterSubject = Arc<dyn Router>;

fn routes(app: &AppRef, routes: u64, generation: u64) -> AppRoutes {
    AppRoutes {
        app: app.clone(),
        fence: RouteFence { routes, generation: Generation(generation) },
        process: Some(ProcessType::web()),
        domains: vec![DomainName::new(app.name.as_str()).expect("an app's name is a label")],
        mode: RouteMode::Serve,
    }
}

fn app(name: &str) -> AppRef {
    AppRef { name: AppName::new(name).expect("the cases name valid apps"), uid: AppUid(Uuid::new_v4()) }
}

async fn publish(s: &RouterSubject, app: &AppRef, fence: (u64, u64)) -> Result<(), RouterError> {
    s.publish(&routes(app, fence.0, fence.1)).await.map(|refused| assert!(refused.is_empty(), "{refused:?}"))
}

async fn fence(s: &RouterSubject, app: &AppRef) -> Option<(u64, u64)> {
    let fence = s.published(app).await.expect("the router can be asked");
    fence.map(|fence| (fence.routes, fence.generation.0))
}

/// What was published last is known, and listed.
pub async fn publishing_is_remembered(s: RouterSubject) {
    let app = app("blog");
    assert_eq!(fence(&s, &app).await, None);
    publish(&s, &app, (1, 4)).await.expect("it is the first");
    assert_eq!(fence(&s, &app).await, Some((1, 4)));
    assert_eq!(s.apps().await.expect("it can be asked"), [app]);
}

/// Fences compare by the counter of route changes first, then by the generation; the same again has no effect.
pub async fn older_routes_are_stale(s: RouterSubject) {
    let app = app("blog");
    publish(&s, &app, (2, 4)).await.expect("it is the first");
    publish(&s, &app, (2, 4)).await.expect("the same again is no error");
    for older in [(2, 3), (1, 9)] {
        assert!(matches!(publish(&s, &app, older).await, Err(RouterError::Stale { .. })), "{older:?}");
    }
    publish(&s, &app, (2, 5)).await.expect("a later generation is newer");
    publish(&s, &app, (3, 1)).await.expect("a later route change is newer, whatever the generation");
    assert_eq!(fence(&s, &app).await, Some((3, 1)));
}

/// Withdrawal refuses that life of the app for good; the next life is another app.
pub async fn withdrawal_is_final(s: RouterSubject) {
    let (old, new) = (app("blog"), app("blog"));
    publish(&s, &old, (1, 1)).await.expect("it is the first");
    s.withdraw(&old).await.expect("it is withdrawn");
    s.withdraw(&old).await.expect("and again");
    assert!(matches!(publish(&s, &old, (9, 9)).await, Err(RouterError::Stale { .. })));
    assert!(s.apps().await.expect("it can be asked").is_empty());
    publish(&s, &new, (1, 1)).await.expect("it is another app");
    assert_eq!(s.apps().await.expect("it can be asked"), [new]);
}

/// Withdrawing an unknown app is no error, and holds for it too.
pub async fn an_unknown_app_can_be_withdrawn(s: RouterSubject) {
    let app = app("blog");
    s.withdraw(&app).await.expect("nothing is withdrawn");
    assert!(matches!(publish(&s, &app, (1, 1)).await, Err(RouterError::Stale { .. })));
}

/// Apps do not disturb each other.
pub async fn apps_are_apart(s: RouterSubject) {
    let (one, two) = (app("one"), app("two"));
    publish(&s, &one, (5, 5)).await.expect("it is the first");
    publish(&s, &two, (1, 1)).await.expect("its fence is its own");
    s.withdraw(&one).await.expect("it is withdrawn");
    assert_eq!(fence(&s, &two).await, Some((1, 1)));
}

/// Hands the names of all cases of [`conformance::router`](crate::conformance::router) to a macro of yours, after
/// whatever else it shall get: what a new router forgets to run does not compile out of sight.
///
/// ```
/// macro_rules! count {
///     ($($case:ident)*) => { [$(stringify!($case)),*].len() };
/// }
/// assert_eq!(deis_core::router_cases!(count;), 5);
/// ```
#[macro_export]
macro_rules! router_cases {
    ($with:ident; $($own:tt)*) => {
        $with! { $($own)*
            publishing_is_remembered
            older_routes_are_stale
            withdrawal_is_final
            an_unknown_app_can_be_withdrawn
            apps_are_apart
        }
    };
}
