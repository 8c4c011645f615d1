//! The shim as a program of its own, for embedders whose executable cannot be run again.

fn main() -> std::process::ExitCode {
    deis_core::local::shim::run()
}
