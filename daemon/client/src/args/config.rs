//! Flags of the configuration.

use clap::Subcommand;

use super::{AppArg, JsonArg};

/// Configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show the configuration
    #[command(name = "config:list", visible_alias = "config")]
    List {
        #[command(flatten)]
        app: AppArg,
        /// All on one line, as `config:set` takes it
        #[arg(long)]
        oneline: bool,
        /// One KEY=VALUE a line, to be compared with others
        #[arg(long, conflicts_with = "oneline")]
        diff: bool,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Set variables; makes a release
    #[command(name = "config:set")]
    Set {
        #[command(flatten)]
        app: AppArg,
        /// KEY=VALUE pairs
        #[arg(required = true, value_name = "KEY=VALUE")]
        values: Vec<String>,
    },
    /// Unset variables; makes a release
    #[command(name = "config:unset")]
    Unset {
        #[command(flatten)]
        app: AppArg,
        /// Keys
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
}
