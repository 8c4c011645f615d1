//! Flags of builds.

use clap::Subcommand;

use super::{AppArg, JsonArg, LimitArg};

/// Builds.
#[derive(Debug, Subcommand)]
pub(crate) enum BuildsCommand {
    /// List builds, the failed ones too
    #[command(name = "builds:list", visible_alias = "builds")]
    List {
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        limit: LimitArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Show a build
    #[command(name = "builds:info")]
    Info {
        /// Its number; the newest if it is missing
        number: Option<u64>,
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Show what a build printed
    #[command(name = "builds:output")]
    Output {
        /// Its number; the newest if it is missing
        number: Option<u64>,
        /// Go on to its end
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        app: AppArg,
    },
    /// End a build that runs
    #[command(name = "builds:cancel")]
    Cancel {
        /// Its number; the newest if it is missing
        number: Option<u64>,
        #[command(flatten)]
        app: AppArg,
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
