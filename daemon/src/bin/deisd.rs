//! The daemon `deisd`, and everything else that its executable can be.

fn main() -> std::process::ExitCode {
    deis_daemon::main(std::env::args_os().collect())
}
