//! The place of the Kubernetes scheduler, task runner and router of `deis-core`.
//!
//! This version runs apps as processes of one machine (`deis_core::local`); nothing here talks to a
//! cluster yet, and the crate exports nothing that would look as if it did.
