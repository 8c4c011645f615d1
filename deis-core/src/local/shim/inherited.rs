//! What a child must not have from whoever started the platform.

use std::{
    fs, io,
    sync::{Arc, atomic::AtomicBool},
};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

/// Numbers of signals, real-time ones included.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;

/// An ignored signal stays ignored in every child; one that is caught here is back at its default over there. Who
/// was started by `nohup` passes that on to no app.
pub(super) fn stop_ignoring() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    for signal in SIGNALS.filter(|n| ignores(&status, *n)) {
        // Child processes get this one at its default anyway.
        if signal != Signal::PIPE.as_raw() {
            // Some may not be caught; they are not ignored by anybody.
            let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
        }
    }
    Ok(())
}

fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}

/// Children may open so many files before they ask for more.
pub(super) fn limit_files(soft: u64) -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.map_or(soft, |most| soft.min(most)));
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}
