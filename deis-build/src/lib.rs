//! Git pushes received, source built into slugs: the build half of the deis engine.
//!
//! * [`git`]: the server side of git, without HTTP or SSH. It starts at [`git::Repository`].
//! * [`Pipeline`]: from a commit to a [`deis_core::BuildSpec`], by buildpacks, as a task.
//! * [`Artifacts`]: slugs in an object store; `SlugFolders`: the same unpacked, for the back ends of one machine.
//! * [`driver`]: what a program calls first in `main` to be a build when it is asked to.
//!
//! # Features
//!
//! | Feature | Default | What it adds |
//! | --- | --- | --- |
//! | `local` | yes | `SlugFolders`, and the program `deis-builder`: builder and process shim, for embedders whose executable cannot be run again |
//!
//! # When not to use it
//!
//! * To talk to git servers: the client here fetches one tree for one build. [`gix`](https://docs.rs/gix) is a client.
//! * To build images: Dockerfiles are refused, and slugs are for hosts that have the toolchains of the build.
//! * To build for people who do not trust each other on one host: a build runs with the rights of the program that
//!   starts it. Its processes end with it and its files have one folder, but it is no sandbox.

#![warn(clippy::missing_errors_doc)]

mod artifacts;
#[allow(clippy::disallowed_methods, reason = "a build is a process of its own")]
mod buildpack;
#[allow(clippy::disallowed_methods, reason = "folders of builds are handled on threads that may block")]
mod caches;
#[allow(clippy::disallowed_methods, reason = "folders of builds are handled on threads that may block")]
mod depot;
mod error;
#[allow(clippy::disallowed_methods, reason = "folders of builds are handled on threads that may block")]
mod folders;
#[allow(clippy::disallowed_methods, reason = "git is synchronous; callers run it on threads that may block")]
pub mod git;
#[allow(
    clippy::disallowed_methods,
    reason = "the key is made where the build's folders are, on a thread that may block"
)]
mod key;
mod outputs;
#[allow(clippy::disallowed_methods, reason = "folders of builds are handled on threads that may block")]
mod pipeline;
#[allow(
    clippy::disallowed_methods,
    reason = "packing and unpacking block; callers run them on threads that may"
)]
mod slug;
#[cfg(feature = "local")]
#[allow(clippy::disallowed_methods, reason = "slugs are unpacked on threads that may block")]
mod slug_folders;
mod slug_users;

pub use artifacts::{Artifacts, StoreFailed};
pub use buildpack::driver;
pub use depot::DEPOT;
pub use error::BuildError;
pub use outputs::{BuildOutputStream, BuildOutputs, OutputRecorder};
pub use pipeline::{BuildRequest, LineSender, Pipeline, PipelineOptions};
#[cfg(feature = "local")]
pub use slug_folders::SlugFolders;
