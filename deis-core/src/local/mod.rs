//! Runs apps and tasks as processes of this machine.
//!
//! Each instance and each task has a small supervising process, the [`shim`]: it captures output, records the
//! end and kills whatever its child leaves behind. Instances and detached tasks outlive the platform process and are
//! adopted by the next one; bound tasks end with it, and their output and end stay known.

mod artifact;
pub(crate) mod async_fd;
mod blocking;
mod instance;
mod options;
mod process;
pub(crate) mod run_dir;
mod scheduler;
pub mod shim;
mod table;
mod task;
mod time;
mod tree;

use std::{collections::BTreeSet, io, path::Path};

pub use artifact::{ArtifactFolder, Unpacker, preparer, unpacked_at};
pub use options::{LocalOptions, LocalTool, ShimProgram, Timing};
pub use scheduler::{LocalProcess, LocalScheduler};
pub use task::LocalRunner;

/// The processes of all apps' instances below a run folder, whoever has it now, as their supervising processes have
/// recorded them; of an instance that has ended none. Blocks.
///
/// # Errors
/// A folder cannot be read.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// assert!(deis_core::local::recorded_processes(folder.path())?.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn recorded_processes(run_dir: &Path) -> io::Result<BTreeSet<u32>> {
    run_dir::record::recorded_processes(run_dir)
}
