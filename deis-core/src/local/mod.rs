//! Runs apps and tasks as processes of this machine.
//!
//! Each instance and each task has a small supervising process, the [`shim`]: it captures output, records the
//! end and kills whatever its child leaves behind. Instances outlive the platform process and are adopted by the
//! next one; tasks end with it.

mod accept;
mod adopt;
mod artifact;
mod check;
mod copy;
mod endings;
pub(crate) mod folder;
mod health;
mod instance;
mod last_lines;
mod launch;
mod options;
mod orphans;
mod ports;
mod proc;
mod process;
pub(crate) mod readable;
mod rolling;
mod runner;
mod scheduler;
pub mod shim;
mod slot;
mod table;
mod task;

pub use artifact::{ArtifactFolder, Unpacker, preparer, unpacked_at};
pub use options::{LocalOptions, ShimProgram, Timing};
pub use runner::LocalRunner;
pub use scheduler::{LocalProcess, LocalScheduler};
