//! Runs apps and tasks as processes of this machine.
//!
//! Each instance and each task has a small supervising process, the [`shim`]: it captures output, records the
//! end and kills whatever its child leaves behind. Instances and detached tasks outlive the platform process and are
//! adopted by the next one; bound tasks end with it, and their output and end stay known.

mod adopt;
mod artifact;
mod copy;
pub(crate) mod folder;
mod instance;
mod last_lines;
mod launch;
mod options;
mod orphans;
mod proc;
mod process;
pub(crate) mod readable;
mod runner;
mod scheduler;
pub mod shim;
mod task;
mod task_attach;
mod task_log;
mod task_table;
mod wire;

pub use artifact::{ArtifactFolder, Unpacker, preparer, unpacked_at};
pub use options::{LocalOptions, LocalTool, ShimProgram, Timing};
pub use runner::LocalRunner;
pub use scheduler::{LocalProcess, LocalScheduler};
