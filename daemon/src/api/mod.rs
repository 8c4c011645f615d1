//! The HTTP API: the controller API 2.3 as far as it goes in this version, and what is additive to it.

mod accounts;
mod apps;
mod attach;
mod auth;
mod body;
mod build_runs;
mod builds;
mod client;
mod config;
mod domains;
mod error;
mod headers;
mod health;
mod held_answer;
mod json;
mod keys;
mod logs;
mod names;
mod page;
mod payload;
mod pending_input;
mod plan;
mod platform;
mod pods;
mod releases;
mod respond;
mod run;
mod runs;
mod throttles;
mod url;
mod websocket;

use std::sync::Arc;

use axum::{
    Extension, Router,
    routing::{MethodRouter, delete, get, post},
};
use deis_build::BuildOutputs;
use deis_core::Platform;

pub use attach::Attachments;
pub use throttles::Throttles;

use crate::accounts::{Bootstrap, Passwords, TokenSecret};

pub(crate) use error::CODE;

/// Who may register.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Registration {
    /// Anyone.
    Enabled,
    /// Anyone while there is no administrator; then administrators only.
    #[default]
    AdminOnly,
    /// Nobody.
    Disabled,
}

/// What the platform says about itself to clients.
#[derive(Clone, Debug)]
pub struct PlatformInfo {
    /// Domain under which apps live.
    pub domain: String,
    /// Schemes that it serves.
    pub schemes: Vec<String>,
    /// Its ports.
    pub ports: PlatformPorts,
}

/// Ports as clients reach them.
#[derive(Clone, Copy, Debug)]
pub struct PlatformPorts {
    /// HTTP.
    pub http: u16,
    /// Git over SSH; `None` without.
    pub ssh: Option<u16>,
}

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// The engine.
    pub platform: Platform,
    /// Password hashing.
    pub passwords: Passwords,
    /// How often an address may try to log in, and register users.
    pub throttles: Throttles,
    /// What tokens are derived from.
    pub secret: Arc<TokenSecret>,
    /// Who may register.
    pub registration: Registration,
    /// What the first registration must show, where strangers can reach the daemon.
    pub bootstrap: Option<Arc<Bootstrap>>,
    /// What the platform says about itself.
    pub info: Arc<PlatformInfo>,
    /// Who is attached to commands.
    pub attachments: Attachments,
    /// What builds printed.
    pub outputs: BuildOutputs,
}

/// All routes, each with and without a slash at its end.
pub fn router(state: ApiState) -> Router {
    let mut router =
        Router::new().route("/healthz", get(health::healthz)).route("/readiness", get(health::readiness));
    // The name of a key may hold slashes, so the rest of the path is one, and a slash at its end is none of it.
    router = router.route("/v2/keys/{*id}", get(keys::info).delete(keys::remove));
    for (path, methods) in routes() {
        router = router.route(path, methods.clone()).route(&format!("{path}/"), methods);
    }
    router
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(axum::middleware::from_fn(headers::add))
        .layer(Extension(body::BodyBudget::default()))
        .layer(Extension(logs::Followers::default()))
        .layer(Extension(held_answer::AnswerBudget::default()))
        .with_state(state)
}

fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![
        ("/v2", get(platform::root)),
        ("/v2/platform", get(platform::info)),
        ("/v2/auth/register", post(accounts::register)),
        ("/v2/auth/login", post(accounts::login)),
        ("/v2/auth/whoami", get(accounts::whoami)),
        ("/v2/auth/passwd", post(accounts::passwd)),
        ("/v2/auth/tokens", post(accounts::tokens)),
        ("/v2/auth/cancel", delete(accounts::cancel)),
        ("/v2/users", get(accounts::users)),
        ("/v2/keys", get(keys::list).post(keys::add)),
        ("/v2/apps", get(apps::list).post(apps::create)),
        ("/v2/apps/{app}", get(apps::info).delete(apps::destroy)),
        ("/v2/apps/{app}/config", get(config::info).post(config::set)),
        ("/v2/apps/{app}/builds", get(builds::list).post(builds::create)),
        ("/v2/apps/{app}/builds/{uuid}", get(builds::info)),
        ("/v2/apps/{app}/build-runs", get(build_runs::list)),
        ("/v2/apps/{app}/build-runs/{number}", get(build_runs::info).delete(build_runs::cancel)),
        ("/v2/apps/{app}/build-runs/{number}/output", get(build_runs::output)),
        ("/v2/apps/{app}/releases", get(releases::list)),
        ("/v2/apps/{app}/releases/rollback", post(releases::rollback)),
        ("/v2/apps/{app}/releases/{version}", get(releases::info)),
        ("/v2/apps/{app}/pods", get(pods::list)),
        ("/v2/apps/{app}/pods/restart", post(pods::restart)),
        ("/v2/apps/{app}/pods/{type}", get(pods::list)),
        ("/v2/apps/{app}/pods/{type}/restart", post(pods::restart)),
        ("/v2/apps/{app}/pods/{type}/{name}", get(pods::list)),
        ("/v2/apps/{app}/pods/{type}/{name}/restart", post(pods::restart)),
        ("/v2/apps/{app}/scale", post(pods::scale)),
        ("/v2/apps/{app}/run", post(run::run).get(attach::run)),
        ("/v2/apps/{app}/runs", get(runs::list).post(runs::create)),
        ("/v2/apps/{app}/runs/{name}", get(runs::info).delete(runs::stop)),
        ("/v2/apps/{app}/runs/{name}/attach", get(attach::follow)),
        ("/v2/apps/{app}/logs", get(logs::logs)),
        ("/v2/apps/{app}/domains", get(domains::list).post(domains::add)),
        ("/v2/apps/{app}/domains/{domain}", delete(domains::remove)),
        ("/v2/apps/{app}/plan", post(plan::plan)),
    ]
}
