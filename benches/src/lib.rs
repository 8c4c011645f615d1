//! Benchmarks arrive with the first speed claim.
