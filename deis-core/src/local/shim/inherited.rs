//! What a child must not have from whoever started the platform.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::os::proc;

/// An ignored signal stays ignored in every child; one that is caught here is back at its default over there. Who
/// was started by `nohup` passes that on to no app.
pub(super) fn stop_ignoring() -> io::Result<()> {
    for signal in proc::ignored_signals()? {
        // The standard library sets this one back to its default in every child.
        if signal != Signal::PIPE.as_raw() {
            // Some may not be caught; they are not ignored by anybody.
            let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
        }
    }
    Ok(())
}

/// Children may open so many files before they ask for more.
pub(super) fn limit_files(soft: u64) -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.map_or(soft, |most| soft.min(most)));
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}
