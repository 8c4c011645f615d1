//! What the daemon says about itself: structured logs, and the chain of causes behind an error.

use std::{error::Error, io::IsTerminal as _};

use deis_core::port::error_causes;
pub(crate) use deis_core::port::error_chain as chain;
use tracing_subscriber::EnvFilter;

/// Writes logs to standard error, as JSON if asked. A second call has no effect.
pub fn init(filter: &str, json: bool) {
    let filter = EnvFilter::try_new(quiet(filter)).unwrap_or_else(|_| EnvFilter::new("info"));
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // It fails only where logs are set up already.
    let _ = if json { logs.json().try_init() } else { logs.with_ansi(colour).try_init() };
}

/// A filter under which the SSH library is silent: what it takes for an error is what strangers send, who could fill the
/// log with it. A filter for everything down to `debug`, and one that names the library, have their way.
fn quiet(filter: &str) -> String {
    if matches!(filter.trim().to_ascii_lowercase().as_str(), "debug" | "trace") {
        return filter.to_owned();
    }
    format!("russh=off,{filter}")
}

/// The causes behind an error, outermost first, without itself.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    error_causes(error).map(ToString::to_string).collect()
}
