//! The composition root: the engine, its back ends and the listeners, put together from settings.

#[allow(clippy::disallowed_methods, reason = "the folders are made before the listeners are served")]
mod backend;
mod daemon;
mod engine;
mod garbage;
mod listeners;

pub(crate) use backend::{become_helper_if_asked, recorded_processes, stop_apps};
pub use daemon::Daemon;

/// What whoever lets others deploy must know.
pub(crate) const NO_ISOLATION: &str =
    "apps are not isolated: they run as this user and can read and change whatever it can";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A daemon that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] crate::datadir::DataDirError),
    /// A port is taken.
    #[error("{what} cannot listen on {address}; choose another address with {flag}")]
    Listen {
        /// What wanted to listen.
        what: &'static str,
        /// Where.
        address: std::net::SocketAddr,
        /// How to change it.
        flag: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A part of the data folder cannot be used.
    #[error("cannot open {what}")]
    Open {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
}

/// Wraps a cause.
pub(crate) fn open<E: Into<BoxError>>(what: &'static str) -> impl Fn(E) -> StartError {
    move |source| StartError::Open { what, source: source.into() }
}
