//! Faults to plant, so that the kill sweep can prove that it finds them.

/// A fault that can be planted into the reconciler. Unstable.
///
/// Each is a mistake that somebody could make; all but the last one do no harm as long as nothing goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bug {
    /// None.
    #[default]
    None,
    /// Success is recorded before the routes are published: harm comes of a death in between.
    CommitFirst,
    /// A release command runs before that is recorded: a death in between runs it twice.
    StartFirst,
    /// A rollout that supersedes an unfinished one takes its generation.
    NoFence,
    /// The newest release is taken for the live one.
    LiveIsNewest,
}
