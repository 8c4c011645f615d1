//! The local back ends with real processes.

mod adoption;
mod conformance;
mod logs;
mod misbehaviour;
mod support;
mod surroundings;
mod tasks;
