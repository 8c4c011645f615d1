//! Git pushes received, source built into slugs: the build half of the deis engine.
//!
//! * [`git`]: the server side of git, without HTTP or SSH.
//! * [`Pipeline`]: from a commit to a [`deis_core::BuildSpec`], by buildpacks, as a task.
//! * [`Artifacts`]: slugs in an object store, and the function that unpacks them for a scheduler.
//! * [`driver`]: what a program calls first in `main` to be a build when it is asked to.

#[allow(clippy::disallowed_methods, reason = "slugs are unpacked on threads that may block")]
mod artifacts;
#[allow(clippy::disallowed_methods, reason = "a build is a process of its own")]
mod buildpack;
mod error;
#[allow(clippy::disallowed_methods, reason = "git is synchronous; callers run it on threads that may block")]
pub mod git;
#[allow(
    clippy::disallowed_methods,
    reason = "the key is made where the build's folders are, on a thread that may block"
)]
mod key;
#[allow(clippy::disallowed_methods, reason = "folders of builds are handled on threads that may block")]
mod pipeline;
#[allow(
    clippy::disallowed_methods,
    reason = "packing and unpacking block; callers run them on threads that may"
)]
mod slug;

pub use artifacts::{Artifacts, StoreFailed};
pub use buildpack::driver;
pub use error::BuildError;
pub use pipeline::{BuildRequest, LineSender, Pipeline, PipelineOptions};
