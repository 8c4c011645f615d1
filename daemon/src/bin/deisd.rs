//! deisd.
fn main() {}
