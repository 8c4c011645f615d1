//! Git pushes received, source built into slugs: the build half of the deis engine.
//!
//! * [`git`]: the server side of git, without HTTP or SSH.
//! * [`Pipeline`]: from a commit to a [`deis_core::BuildSpec`], by buildpacks, as a task.
//! * [`Artifacts`]: slugs in an object store, and the function that unpacks them for a scheduler.
//! * [`driver`]: what a program calls first in `main` to be a build when it is asked to.

mod artifacts;
mod buildpack;
mod error;
pub mod git;
mod key;
mod pipeline;
mod slug;

pub use artifacts::{Artifacts, StoreFailed};
pub use buildpack::driver;
pub use error::BuildError;
pub use pipeline::{BuildRequest, LineSender, Pipeline, PipelineOptions};
