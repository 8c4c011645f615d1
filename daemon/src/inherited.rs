//! What the daemon has from whoever started it, and its apps shall not have from the daemon.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The number of open files that the daemon was started with.
static OPEN_FILES: OnceLock<Option<u64>> = OnceLock::new();

/// Makes an end of what was inherited: no file of the starting shell stays open in apps, and the daemon itself, which
/// has a few for every connection, may open as many as the system lets it.
pub(crate) fn keep_from_children() {
    close_fds::CloseFdsBuilder::new().cloexecfrom(3);
    let limit = getrlimit(Resource::Nofile);
    OPEN_FILES.get_or_init(|| limit.current);
    // A smaller number serves fewer connections; that is no reason not to start.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// How many files apps may open before they ask for more; `None` if there was no limit.
pub(crate) fn open_files() -> Option<u64> {
    OPEN_FILES.get().copied().flatten()
}
