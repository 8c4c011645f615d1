//! The client `deis`.

fn main() -> std::process::ExitCode {
    deis_client::main(std::env::args_os().collect())
}
