//! Flags of builds.

use clap::Subcommand;

use super::{AppArg, JsonArg, LimitArg};

/// Builds.
#[derive(Debug, Subcommand)]
pub(in crate::client) enum BuildsCommand {
    /// List builds
    #[command(name = "builds:list", visible_alias = "builds")]
    List {
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        limit: LimitArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Deploy an image
    #[command(name = "builds:create", visible_alias = "pull")]
    Create {
        /// The image
        image: String,
        /// Process types of the image, one `TYPE: COMMAND` a line
        #[arg(short, long, value_name = "YAML")]
        procfile: Option<String>,
        #[command(flatten)]
        app: AppArg,
    },
}
