//! deis.
fn main() {}
