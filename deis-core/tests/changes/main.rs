//! What callers are promised about changes, on simulated back ends: how they end, who wins, what is kept.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]

mod accounts;
mod build_runs;
mod clock;
mod destroy;
mod ends;
mod fixture;
mod lines;
mod lists;
mod orphans;
mod outages;
mod races;
mod reads;
mod records;
mod rollouts;
mod slots;
mod stale_views;
mod successors;
mod waiting;
mod workers;
