//! What callers ask for, and the reconciler that brings it about.
//!
//! Calls begin at the [`Platform`]; [`Platform::session`] says who asks, [`Session::app`] what is asked about. A call plans one
//! batch and commits it; the reconciler does the rest.

mod app;
mod page;
mod platform;
mod reconcile;
mod retry;
mod session;

pub use app::{
    AppHandle, AppInfo, BUILD_RUNS_KEPT, Change, ChangeOutcome, Intent, ReleaseInfo, RestartScope, RunOptions,
};
pub use page::{Page, PageQuery};
pub use platform::{
    Clock, EventStream, MissingBackend, NewUser, Platform, PlatformBuilder, PlatformOptions, RESERVED_NAMES,
};
pub use reconcile::{Orphans, Progress, Workers};
pub use session::Session;

pub use crate::state::events::EventCursor;
