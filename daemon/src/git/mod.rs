//! Git over HTTP and over SSH: transports only; what a push does is in `push`.

mod algorithms;
mod exec;
#[allow(clippy::disallowed_methods, reason = "keys are read before the listeners are up")]
mod host_keys;
pub mod http;
mod input;
mod socket;
pub mod ssh;

use deis_core::{Actor, AppHandle, AppName, Platform, model::User};

pub use input::GitInput;

/// Chunks of an answer that may wait for a client to read them.
const CHUNKS: usize = 16;

/// What somebody is told whose request failed on this side.
pub(crate) fn unavailable(error: &deis_core::Error) -> String {
    if deis_build::git::is_disk_full(error) {
        return "the disk of the platform is full; tell its operator".to_owned();
    }
    "the platform is not available right now; try again in a moment".to_owned()
}

/// The app that a repository name means, if `user` may use it; as if there were none otherwise.
async fn app_for(platform: &Platform, user: &User, repository: &str) -> Option<AppHandle> {
    let name = repository.trim_matches('/');
    let name = AppName::new(name.strip_suffix(".git").unwrap_or(name)).ok()?;
    let actor = Actor::User { name: user.name.clone(), superuser: user.superuser };
    platform.session(actor).app(&name).await.ok()
}

/// What somebody who may not use an app is told, whether it exists or not.
fn no_such_app(repository: &str) -> String {
    let name: String = repository.trim_matches('/').chars().take(70).filter(|c| !c.is_control()).collect();
    format!("there is no app \"{}\", or you may not use it", name.strip_suffix(".git").unwrap_or(&name))
}
