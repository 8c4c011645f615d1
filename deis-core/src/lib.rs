//! An embeddable platform-as-a-service engine: apps, builds, numbered releases, rollouts that survive a kill.
//!
//! A [`Platform`] is put together from back ends: a store for state, a scheduler that runs processes, a router, a runner
//! of tasks, a log store. Each is a trait in [`port`]; those of one machine are in [`local`], [`store`] and [`logs`].
//! Everything that a person can ask for starts at [`Platform::session`], which says who asks:
//!
//! ```
//! use std::sync::Arc;
//! use deis_core::{
//!     Actor, AppName, ConfigPatch, EnvKey, Intent, PageQuery, Platform, Timestamp, Username,
//!     local::{LocalOptions, LocalRunner, LocalScheduler, Unpacker, preparer},
//!     logs::RingLogs,
//!     port::ArtifactError,
//!     routing::RouteTable,
//!     store::MemoryStore,
//! };
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! // Where the files of a build are: here are none yet.
//! let unpacker: Unpacker =
//!     Arc::new(|_| Box::pin(async { Err(ArtifactError::Definitive { reason: "no such build".to_owned() }) }));
//! let options = LocalOptions::new(folder.path().join("run"), unpacker.clone());
//! let platform = Platform::builder()
//!     .store(Arc::new(MemoryStore::new()))
//!     .scheduler(Arc::new(LocalScheduler::open(options.clone()).await?))
//!     .runner(Arc::new(LocalRunner::open(options).await?))
//!     .router(Arc::new(RouteTable::new(None)))
//!     .logs(Arc::new(RingLogs::new(1000)))
//!     .preparer(preparer(unpacker))
//!     .clock(Arc::new(|| Timestamp(1_700_000_000_000)))
//!     .build()?;
//! let workers = platform.start();
//!
//! let session = platform.session(Actor::User { name: Username::new("ann")?, superuser: false });
//! session.create_app(AppName::new("blog")?).await?;
//! let app = session.app(&AppName::new("blog")?).await?;
//! let patch = ConfigPatch::default().set(EnvKey::new("GREETING")?, "hello");
//!
//! // A dry run says what a change would do, by the functions that would do it.
//! let plan = app.plan(&Intent::Config(patch.clone())).await?;
//! assert_eq!(plan.steps[0].detail, "v2: ann added GREETING");
//!
//! let change = app.config_set(patch).await?;
//! app.wait(&change).await?;
//! assert_eq!(app.releases(PageQuery::default()).await?.total, 2);
//! workers.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Where things are
//!
//! Imports point one way, from the bottom of this list to its top; a test checks that.
//!
//! | Module | What is in it |
//! | --- | --- |
//! | [`model`] | Names and records: plain data, validated |
//! | [`plan`] | Decisions as pure functions: what a release is, what a rollout does next, what a change would do. Only the numbers that they go by are public, to name and compare with, and [`plan::RollbackError`], which an [`Error`] holds |
//! | [`port`] | The traits of back ends |
//! | `state` | Records over a store: keys, the ledger, events. Public only with the feature `conformance`, to tests that judge what is stored: how records look is the engine's own |
//! | [`service`] | What callers ask for, and the reconciler that brings it about |
//! | [`os`] | `/proc`, and files that are replaced whole |
//! | [`routing`] | The tables that schedulers and the engine write and a proxy reads |
//! | [`store`], [`logs`], [`local`] | Back ends: memory and SQLite, logs, this machine |
//! | `conformance` | What proves a back end right, yours too |
//!
//! The root names what most programs begin with: the [`Platform`] and its handles, [`Error`], and the names and values that
//! go into a call. What comes out of one is in [`model`] and [`service`].
//!
//! # Features
//!
//! | Feature | Default | What it adds |
//! | --- | --- | --- |
//! | `local` | yes | [`local`]: apps as processes of this machine |
//! | `sqlite` | yes | [`store::SqliteStore`]: all state in one file |
//! | `conformance` | no | `conformance`: suites and a simulated world; and `state`. Both change in any version |
//!
//! # Promises
//!
//! * Every change is one batch in the store. Whoever is killed, at whatever point, the next process goes on.
//! * A failed rollout goes back by itself; the old version serves until the new one is ready.
//! * No global state, no reads of the environment, no panic, no `unsafe`. Time comes from the caller's clock.

#![warn(clippy::missing_errors_doc)]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "deis runs on Linux only: it supervises processes with pidfds, process groups and child subreapers"
);

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
#[cfg(feature = "local")]
#[allow(
    clippy::disallowed_methods,
    reason = "a scheduler of processes is made of small files on the local disk"
)]
pub mod local;
#[allow(clippy::disallowed_methods, reason = "log files are read and written on threads of their own")]
pub mod logs;
pub mod model;
#[allow(clippy::disallowed_methods, reason = "these functions block, and say so")]
pub mod os;
pub mod plan;
pub mod port;
pub mod routing;
pub mod service;
#[cfg(feature = "conformance")]
pub mod state;
#[cfg(not(feature = "conformance"))]
#[expect(unreachable_pub, reason = "it is public where tests look at what is stored")]
mod state;
#[allow(clippy::disallowed_methods, reason = "an embedded database is opened before anything else runs")]
pub mod store;

// What a program that embeds the engine needs first. All else is in its module; a test counts these.
pub use error::{Error, Kind, Result};
pub use model::{
    Actor, AppName, BuildSpec, ConfigPatch, Digest, DomainName, EnvKey, ProcessType, ReleaseVersion,
    Timestamp, Username,
};
pub use routing::Endpoints;
pub use service::{
    AppHandle, Change, ChangeOutcome, Intent, PageQuery, Platform, PlatformBuilder, PlatformOptions,
    RestartScope, Session, Workers,
};
