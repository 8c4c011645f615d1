//! Flags of processes.

use clap::Subcommand;

use super::{AppArg, JsonArg};

/// Processes.
#[derive(Debug, Subcommand)]
pub(crate) enum PsCommand {
    /// List processes
    #[command(name = "ps:list", visible_alias = "ps")]
    List {
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Restart all processes, those of a type, or one
    #[command(name = "ps:restart", visible_alias = "restart")]
    Restart {
        /// Process type or process name
        target: Option<String>,
        #[command(flatten)]
        app: AppArg,
    },
    /// Follow a command that was started by `run --detach`
    #[command(name = "ps:attach")]
    Attach {
        /// Its name, as `ps` lists it
        name: String,
        #[command(flatten)]
        app: AppArg,
    },
    /// Stop a command that was started by `run`
    #[command(name = "ps:stop")]
    Stop {
        /// Its name, as `ps` lists it
        name: String,
        #[command(flatten)]
        app: AppArg,
    },
    /// Scale process types
    #[command(name = "ps:scale", visible_alias = "scale")]
    Scale {
        #[command(flatten)]
        app: AppArg,
        /// TYPE=N pairs
        #[arg(required = true, value_name = "TYPE=N")]
        scales: Vec<String>,
    },
}
