//! Flags of SSH keys.

use clap::Subcommand;

use super::{JsonArg, LimitArg};

/// SSH keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List SSH keys
    #[command(name = "keys:list", visible_alias = "keys")]
    List {
        #[command(flatten)]
        limit: LimitArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Add a public SSH key
    #[command(name = "keys:add")]
    Add {
        /// A name for it and the file, in either order; without a file: one of ~/.ssh/*.pub
        #[arg(num_args = 0..=2, value_name = "NAME|FILE")]
        words: Vec<String>,
    },
    /// Remove a public SSH key
    #[command(name = "keys:remove")]
    Remove {
        /// Its name
        key: String,
    },
}
