//! The platform: what callers ask for, and the reconciler that brings it about.

mod apps;
mod build_runs;
mod builder;
mod builds;
mod config;
mod domains;
mod events;
mod formation;
mod handle;
mod keyed_mutex;
mod keys;
mod logs;
mod options;
mod page;
mod plan;
mod platform;
mod pushes;
mod reconcile;
mod releases;
mod run;
mod session;

mod users;
mod wait;

pub use apps::AppInfo;
pub use build_runs::BUILD_RUNS_KEPT;
pub use builder::{MissingBackend, PlatformBuilder};
pub use events::EventStream;
pub use formation::RestartScope;
pub use handle::{AppHandle, Change};
pub use options::{PlatformOptions, RESERVED_NAMES};
pub use page::{Page, PageQuery};
pub use plan::Intent;
pub use platform::{Clock, Platform};
pub use reconcile::{Orphans, Progress, Workers};
pub use releases::ReleaseInfo;
pub use run::RunOptions;
pub use session::Session;
pub use users::NewUser;
pub use wait::Settled;
