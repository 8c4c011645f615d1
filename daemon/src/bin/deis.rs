//! The client `deis`.

fn main() -> std::process::ExitCode {
    deis_daemon::main(std::env::args_os().collect())
}
