//! Shim and builder as a program of its own, for embedders whose executable cannot be run again.

fn main() -> std::process::ExitCode {
    deis_core::local::shim::run_if_asked();
    let args: Vec<_> = std::env::args_os().collect();
    deis_build::driver::run_if_asked(&args).unwrap_or_else(|| {
        eprintln!("deis-builder is started by the platform, as `deis-shim` or `deis-builder`");
        std::process::ExitCode::from(2)
    })
}
