//! What a process holds, as the kernel counts it.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What a process holds at a moment, or at most over a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Resident memory, in KiB.
    pub(crate) resident: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
}

impl Usage {
    /// Nothing, where the process has ended.
    pub(crate) fn of(pid: u32) -> Self {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return Self::default() };
        let number = |name: &str| {
            let rest = status.lines().find_map(|line| line.strip_prefix(name));
            rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count) as u64;
        Self { resident: number("VmRSS:"), threads: number("Threads:"), descriptors }
    }

    fn max(self, other: Self) -> Self {
        Self {
            resident: self.resident.max(other.resident),
            threads: self.threads.max(other.threads),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}

/// Looks at a process again and again.
pub(crate) struct Peak {
    stop: Arc<AtomicBool>,
    looking: JoinHandle<Usage>,
}

impl Peak {
    pub(crate) fn watch(pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let looking = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut peak = Usage::of(pid);
                while !stop.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(25));
                    peak = peak.max(Usage::of(pid));
                }
                peak
            }
        });
        Self { stop, looking }
    }

    /// The most that was seen.
    pub(crate) fn end(self) -> Usage {
        self.stop.store(true, Ordering::SeqCst);
        self.looking.join().unwrap()
    }
}

/// Bytes on disk of all files below a folder. What goes meanwhile counts nothing.
pub(crate) fn disk(folder: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => disk(&entry.path()),
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(size).sum()
}
