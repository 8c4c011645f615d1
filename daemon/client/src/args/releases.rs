//! Flags of releases.

use clap::Subcommand;

use super::{AppArg, JsonArg, LimitArg};

/// Releases.
#[derive(Debug, Subcommand)]
pub(crate) enum ReleasesCommand {
    /// List releases, newest first
    #[command(name = "releases:list", visible_alias = "releases")]
    List {
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        limit: LimitArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Show one release
    #[command(name = "releases:info")]
    Info {
        /// Its number (v3)
        #[arg(id = "release")]
        version: String,
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Go back to a release; makes a new one
    #[command(name = "releases:rollback", visible_alias = "rollback")]
    Rollback {
        /// Its number (v3); the one before the present if it is missing
        #[arg(id = "release")]
        version: Option<String>,
        #[command(flatten)]
        app: AppArg,
    },
}
