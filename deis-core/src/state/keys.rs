//! Every key of the store, in one place. Numbers are padded so that key order is number order.

use crate::{
    model::{
        AppName, AppUid, Attempt, BuildId, ConfigId, Digest, DomainName, Generation, ReleaseVersion,
        Timestamp, Username,
    },
    port::Key,
};

/// Below it: all apps.
pub const APPS: &str = "app/";
/// Below it: the heads of all apps.
pub const HEADS: &str = "head/";
/// Below it: all open pushes.
pub const PUSHES: &str = "push/";
/// Below it: all users.
pub const USERS: &str = "user/";
/// Below it: all apps that were destroyed.
pub const GONE: &str = "gone/";
/// Below it: all events.
pub const EVENTS: &str = "event/";

/// The app of a key that has nothing but the app's name below `prefix`.
pub fn app_of(prefix: &str, key: &Key) -> Option<AppName> {
    AppName::new(key.as_str().strip_prefix(prefix)?).ok()
}

/// `app/<app>`: what it is.
pub fn app(app: &AppName) -> Key {
    Key::new(format!("{APPS}{app}"))
}

/// `head/<app>`: what every change guards.
pub fn head(app: &AppName) -> Key {
    Key::new(format!("{HEADS}{app}"))
}

/// `user-app/<user>/<app>`: owner and grants.
pub fn user_app(user: &Username, app: &AppName) -> Key {
    Key::new(format!("user-app/{user}/{app}"))
}

/// Below it: the apps of a user.
pub fn user_apps(user: &Username) -> String {
    format!("user-app/{user}/")
}

/// `release/<app>/<version>`.
pub fn release(app: &AppName, version: ReleaseVersion) -> Key {
    Key::new(format!("release/{app}/{:010}", version.0))
}

/// `outcome/<app>/<version>`.
pub fn outcome(app: &AppName, version: ReleaseVersion) -> Key {
    Key::new(format!("outcome/{app}/{:010}", version.0))
}

/// `config/<app>/<id>`.
pub fn config(app: &AppName, id: ConfigId) -> Key {
    Key::new(format!("config/{app}/{id}"))
}

/// `build/<app>/<seq>`.
pub fn build(app: &AppName, seq: u32) -> Key {
    Key::new(format!("build/{app}/{seq:010}"))
}

/// `build-id/<app>/<uuid>`: which number a build has.
pub fn build_id(app: &AppName, id: BuildId) -> Key {
    Key::new(format!("build-id/{app}/{id}"))
}

/// `build-run/<app>/<attempt>`.
pub fn build_run(app: &AppName, attempt: Attempt) -> Key {
    Key::new(format!("build-run/{app}/{:020}", attempt.0))
}

/// `formation/<app>`.
pub fn formation(app: &AppName) -> Key {
    Key::new(format!("formation/{app}"))
}

/// `workload/<app>/<generation>`.
pub fn workload(app: &AppName, generation: Generation) -> Key {
    Key::new(format!("workload/{app}/{:020}", generation.0))
}

/// `rollout/<app>`.
pub fn rollout(app: &AppName) -> Key {
    Key::new(format!("rollout/{app}"))
}

/// `ended/<app>/<generation>`: how the rollout of that generation ended.
pub fn ended(app: &AppName, generation: Generation) -> Key {
    Key::new(format!("ended/{app}/{:020}", generation.0))
}

/// `push/<app>`.
pub fn push(app: &AppName) -> Key {
    Key::new(format!("{PUSHES}{app}"))
}

/// `event/<app>/<time><place>-<id>`, or `event/-/…` for the platform. `place` orders the events of one batch; with the
/// time in front, new events of an app stand beside each other.
pub fn event(app: Option<&AppName>, at: Timestamp, place: usize, id: uuid::Uuid) -> Key {
    Key::new(format!("{}{:012x}{place:06x}-{id}", events(app), at.0.max(0)))
}

/// Below it: the events of an app, or of the platform itself.
pub fn events(app: Option<&AppName>) -> String {
    format!("{EVENTS}{}/", app.map_or("-", AppName::as_str))
}

/// `domain/<fqdn>`: which app has it. Matching ignores case.
pub fn domain(name: &DomainName) -> Key {
    Key::new(format!("domain/{}", name.as_str().to_ascii_lowercase()))
}

/// `app-domain/<app>/<fqdn>`.
pub fn app_domain(app: &AppName, name: &DomainName) -> Key {
    Key::new(format!("app-domain/{app}/{}", name.as_str().to_ascii_lowercase()))
}

/// `zone/<apex>`: guard of the names below a domain of two labels.
pub fn zone(apex: &str) -> Key {
    Key::new(format!("zone/{apex}"))
}

/// `user/<name>`.
pub fn user(name: &Username) -> Key {
    Key::new(format!("{USERS}{name}"))
}

/// `token/<hash>`: whose token it is.
pub fn token(hash: &Digest) -> Key {
    Key::new(format!("token/{}", hash.hex()))
}

/// `key/<fingerprint>`: an SSH key.
pub fn ssh_key(fingerprint: &Digest) -> Key {
    Key::new(format!("key/{}", fingerprint.hex()))
}

/// `key-id/<hash of the id>`: names of SSH keys are unique and hold any character.
pub fn ssh_key_id(id: &str) -> Key {
    Key::new(format!("key-id/{}", Digest::of(id.as_bytes()).hex()))
}

/// `user-key/<user>/<hash of the id>`.
pub fn user_key(user: &Username, id: &str) -> Key {
    Key::new(format!("user-key/{user}/{}", Digest::of(id.as_bytes()).hex()))
}

/// Below it: the keys of a user.
pub fn user_keys(user: &Username) -> String {
    format!("user-key/{user}/")
}

/// `admins`: guard of who is an administrator.
pub fn admins() -> Key {
    Key::new("admins")
}

/// `platform`: which platform this is.
pub fn platform() -> Key {
    Key::new("platform")
}

/// `gone/<uid>`: when an app was destroyed.
pub fn gone(uid: AppUid) -> Key {
    Key::new(format!("{GONE}{uid}"))
}

/// `announced`: how far events were written into the logs of apps.
pub fn announced() -> Key {
    Key::new("announced")
}

/// Below it: one kind of record of an app (`release/blog/`).
pub fn below(kind: &str, app: &AppName) -> String {
    format!("{kind}/{app}/")
}

/// Kinds of record that stand below an app and go with it, `head`, `app` and the domains last.
pub const APP_KINDS: [&str; 9] =
    ["release", "outcome", "config", "build", "build-id", "build-run", "workload", "ended", "event"];
