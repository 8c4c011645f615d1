//! What can be done with an app, one topic a file. All of it stands on [`AppHandle`](handle::AppHandle), which is the proof that
//! the actor may use the app.

mod build_runs;
mod builds;
mod config;
pub(in crate::service) mod domains;
mod events;
mod formation;
mod handle;
mod info;
mod logs;
mod plan;
mod pushes;
mod releases;
mod run;
mod wait;

pub use build_runs::BUILD_RUNS_KEPT;
pub use formation::RestartScope;
pub use handle::{AppHandle, Change};
pub use info::AppInfo;
pub use plan::Intent;
pub use releases::ReleaseInfo;
pub use run::RunOptions;
pub use wait::ChangeOutcome;
