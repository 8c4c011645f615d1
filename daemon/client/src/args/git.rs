//! Flags of git remotes.

use clap::Subcommand;

use super::AppArg;

/// Git remotes.
#[derive(Debug, Subcommand)]
pub(crate) enum GitCommand {
    /// Add a git remote for an app
    #[command(name = "git:remote")]
    Remote {
        /// Name of the app; found as for other commands if it is missing
        #[arg(short, long, value_name = "APP")]
        app: Option<String>,
        /// Name of the remote
        #[arg(short, long, default_value = "deis")]
        remote: String,
        /// Replace a remote of that name
        #[arg(short, long)]
        force: bool,
        /// Over SSH instead of HTTP
        #[arg(long)]
        ssh: bool,
    },
    /// Remove the git remotes of an app
    #[command(name = "git:remove")]
    Remove {
        #[command(flatten)]
        app: AppArg,
    },
    /// Answer git's question for a password (git runs this)
    #[command(name = "git:credential", hide = true)]
    Credential {
        /// What git wants: get, store or erase
        operation: String,
    },
}
