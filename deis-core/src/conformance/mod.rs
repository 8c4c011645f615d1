//! What proves a back end right, and the engine unkillable. Unstable: cases are added in any version.

#![expect(
    clippy::missing_panics_doc,
    reason = "a case panics where a promise is broken: that is what it is for"
)]

pub mod faults;
pub mod logs;
pub mod router;
pub mod runner;
pub mod scheduler;
pub mod sim;
mod wait;

/// A fault that can be planted into the reconciler, to prove that the kill sweep finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bug {
    /// None.
    #[default]
    None,
    /// Success is recorded before the routes are published.
    CommitFirst,
    /// A new rollout takes the generation of the one before.
    NoFence,
    /// The newest release is taken for the live one.
    LiveIsNewest,
}
