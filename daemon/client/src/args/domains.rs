//! Flags of domains.

use clap::Subcommand;

use super::{AppArg, JsonArg, LimitArg};

/// Domains.
#[derive(Debug, Subcommand)]
pub(crate) enum DomainsCommand {
    /// List domains
    #[command(name = "domains:list", visible_alias = "domains")]
    List {
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        limit: LimitArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Add a domain
    #[command(name = "domains:add")]
    Add {
        /// The domain
        domain: String,
        #[command(flatten)]
        app: AppArg,
    },
    /// Remove a domain
    #[command(name = "domains:remove")]
    Remove {
        /// The domain
        domain: String,
        #[command(flatten)]
        app: AppArg,
    },
}
