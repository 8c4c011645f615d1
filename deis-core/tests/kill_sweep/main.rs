//! The kill sweep: for every scenario the platform dies, or a back end fails once, at every port call – before and
//! after its effect, with back ends that remember and that forget; where one action overtakes another, these kinds of
//! fault take turns. At every moment requests reach as many processes as promised; afterwards everything has
//! converged, with exactly what was acknowledged.

#![allow(clippy::unwrap_used, clippy::future_not_send, reason = "a test that cannot go on shall end")]

mod actions;
mod bugs;
mod drivers;
mod harness;
mod oracle;
mod pairs;
mod scenarios;
mod schedules;
mod sweep;
mod watch;
