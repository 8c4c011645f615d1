//! Faults to plant, so that the kill sweep can prove that it finds them.

/// A fault that can be planted into the reconciler. Unstable.
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
